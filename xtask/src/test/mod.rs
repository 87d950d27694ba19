//! `cargo xtask test`: unit tests, the scenarios on this kernel, and in virtual machines.

mod host;
mod matrix;
pub mod results;
mod unit;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::build;
use crate::dist;
use crate::report;
use crate::setup::packages;
use crate::vm::kernel::{SERIES, Series};
use crate::vm::qemu::{self, Accelerator, Settings};
use crate::workspace::Workspace;
use results::Tally;

const ALL: &str = "all";

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Run only the scenarios in VMs, on these kernels: 5.10,6.1,6.12 or all
    #[arg(long, value_name = "KERNELS", value_delimiter = ',')]
    vm: Option<Vec<String>>,
    /// Run no VM
    #[arg(long, conflicts_with = "vm")]
    no_vm: bool,
    /// Run only tests whose names hold this text
    #[arg(long, value_name = "TEXT", value_parser = parse_filter)]
    filter: Option<String>,
    /// Fail where tests would be skipped for what this machine lacks
    #[arg(long)]
    strict: bool,
    /// Boot a VM (the newest kernel, or the one of --vm) into a shell
    #[arg(long, conflicts_with_all = ["no_vm", "filter", "strict"])]
    shell: bool,
    /// How VMs run
    #[arg(long, value_enum, default_value_t = Accelerator::Tcg)]
    accel: Accelerator,
    /// End a VM after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2700)]
    vm_timeout: u64,
}

/// Returns whether nothing failed.
pub fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let series = options.series()?;
    if options.shell {
        shell(workspace, options, &series)?;
        return Ok(true);
    }
    build::test_runner(workspace)?;
    let package = dist::installed_root(workspace)?;
    let tally = run_parts(workspace, options, &series, &package)?;
    report::result(&tally.to_string());
    Ok(tally.failed == 0)
}

fn run_parts(
    workspace: &Workspace,
    options: &Options,
    series: &[&'static Series],
    package: &Path,
) -> Result<Tally> {
    let kernels = matrix::Kernels::require(workspace, series);
    let filter = options.filter.as_deref();
    let mut tally = Tally::default();
    if options.vm.is_none() {
        tally += unit::run(workspace, filter)?;
        tally += host::run(workspace, filter, options.strict, package)?;
    }
    let settings = Settings {
        accelerator: options.accel,
        filter,
        time_limit: Duration::from_secs(options.vm_timeout),
        package,
    };
    tally += matrix::run(workspace, kernels, &settings, options.strict);
    Ok(tally)
}

fn shell(workspace: &Workspace, options: &Options, series: &[&'static Series]) -> Result<()> {
    let [.., newest] = series else { bail!("no kernel is named") };
    let is_one = options.vm.is_none() || series.len() == 1;
    ensure!(is_one, "--shell boots one kernel: type --vm {} --shell", newest.name);
    build::test_runner(workspace)?;
    let package = dist::installed_root(workspace)?;
    packages::require(packages::VM)?;
    let kernel = newest.require(workspace)?;
    qemu::shell(workspace, &kernel, options.accel, &package)
}

impl Options {
    /// The kernels to run VMs with.
    fn series(&self) -> Result<Vec<&'static Series>> {
        if self.no_vm {
            return Ok(Vec::new());
        }
        let names = match &self.vm {
            Some(names) if !names.iter().any(|name| name == ALL) => names,
            _ => return Ok(SERIES.iter().collect()),
        };
        names.iter().map(|name| find_series(name)).collect()
    }
}

fn find_series(name: &str) -> Result<&'static Series> {
    let Some(series) = Series::find(name) else {
        let known: Vec<&str> = SERIES.iter().map(|series| series.name).collect();
        bail!("no kernel {name} in the matrix: there are {}, or {ALL}", known.join(", "));
    };
    Ok(series)
}

/// The filter becomes a word of a kernel's command line.
fn parse_filter(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-:.".contains(c);
    if text.is_empty() || !text.chars().all(is_plain) {
        return Err("letters, digits, `_`, `-`, `:` and `.` are allowed".to_owned());
    }
    Ok(text.to_owned())
}
