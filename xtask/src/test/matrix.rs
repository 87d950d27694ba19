//! The scenarios in virtual machines, one for each kernel.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Error;

use super::results::Tally;
use crate::process;
use crate::report;
use crate::setup::packages;
use crate::vm::kernel::{Kernel, Series};
use crate::vm::qemu::{self, Record, Settings};
use crate::vm::verdict::Verdict;
use crate::workspace::Workspace;

/// Emulation keeps one processor busy for each machine; a third fills the pauses of two.
const AT_A_TIME: usize = 3;
const CONSOLE_LINES: usize = 40;

/// The kernels that are there, and those that are not to be had.
#[derive(Debug, Default)]
pub struct Kernels {
    found: Vec<Kernel>,
    missing: Vec<(&'static Series, Error)>,
}

impl Kernels {
    /// Unit tests read the kernels' BTF, so they are fetched before any test.
    pub fn require(workspace: &Workspace, series: &[&'static Series]) -> Self {
        let mut kernels = Self::default();
        if series.is_empty() {
            return kernels;
        }
        if let Err(error) = packages::require(packages::VM) {
            let why = format!("{error:#}");
            kernels.missing = series.iter().map(|series| (*series, Error::msg(why.clone()))).collect();
            return kernels;
        }
        for series in series {
            match series.require(workspace) {
                Ok(kernel) => kernels.found.push(kernel),
                Err(error) => kernels.missing.push((series, error)),
            }
        }
        kernels
    }
}

pub fn run(workspace: &Workspace, kernels: Kernels, settings: &Settings<'_>, strict: bool) -> Tally {
    let mut tally = Tally::default();
    for (series, error) in kernels.missing {
        let word = if strict { "FAILED" } else { "skipped" };
        report::result(&format!("test vm {} ... {word}: {error:#}", series.name));
        tally += if strict { Tally::FAILED } else { Tally::SKIPPED };
    }
    let pending = Mutex::new(VecDeque::from(kernels.found));
    let sum = Mutex::new(tally);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(kernel) = take(&pending) {
                    add(&sum, run_one(workspace, &kernel, settings));
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn take(pending: &Mutex<VecDeque<Kernel>>) -> Option<Kernel> {
    pending.lock().ok()?.pop_front()
}

fn add(sum: &Mutex<Tally>, tally: Tally) {
    if let Ok(mut sum) = sum.lock() {
        *sum += tally;
    }
}

fn run_one(workspace: &Workspace, kernel: &Kernel, settings: &Settings<'_>) -> Tally {
    let name = kernel.series.name;
    report::progress(format!("kernel {name}: booting a VM; its results come when it ends"));
    match qemu::run_tests(workspace, kernel, settings) {
        Ok(record) => {
            let verdict = Verdict::new(name, &record);
            report::result(&describe(kernel, &record, &verdict));
            verdict.tally()
        }
        Err(error) => {
            report::result(&format!("test vm {name} ... FAILED: {error:#}"));
            Tally::FAILED
        }
    }
}

/// In one piece, since another machine may be reporting at the same time.
fn describe(kernel: &Kernel, record: &Record, verdict: &Verdict) -> String {
    let name = kernel.series.name;
    let release = kernel.release().unwrap_or_default();
    let mut lines = vec![format!("\n== scenarios in a VM with kernel {release}")];
    lines.extend(verdict.runner.remarks().map(str::to_owned));
    lines.extend(verdict.problems.iter().map(|problem| format!("test vm {name} ... FAILED: {problem}")));
    let tally = verdict.tally();
    if tally.failed > 0 {
        lines.push(format!("-- the last lines of the console of {name}:"));
        lines.push(process::last_lines(&record.console, CONSOLE_LINES));
    }
    lines.push(format!("kernel {name}: {tally}, {:.0} s", record.elapsed.as_secs_f64()));
    lines.join("\n")
}
