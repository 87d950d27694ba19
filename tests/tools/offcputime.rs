//! offcputime: how long threads are without a CPU, and where in their code.

use std::{thread, time::Duration};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, bail, ensure, equal,
        frames::{Deed, nap},
        json,
        load::{self, Switches},
        rows,
        shapes::Shapes,
        tracer,
    },
    standard::{Events, Shape, Standard, nothing},
};

/// How often a thread naps, and for how long.
const NAPS: u64 = 23;
const NAP: Duration = Duration::from_millis(2);

pub const SUITE: Suite = Suite {
    name: "offcputime",
    standard: Some(Standard {
        tool: "offcputime",
        shape: Shape::Stack,
        args: &[],
        keys: &["pid", "tid", "comm", "user_stack", "kernel_stack", "count", "total_us"],
        table: &[],
        load: &["nap-thread", "5"],
        events: Events::AtLeast(5),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("tells_where_threads_sleep", tells_where_threads_sleep),
        Test::new("knows_functions_however_they_are_built", knows_functions_however_they_are_built),
        Test::new("keeps_to_times", keeps_to_times),
        Test::new("keeps_to_states", keeps_to_states),
        Test::new("shows_kernel_threads_on_request", shows_kernel_threads_on_request),
    ],
    workloads: &[Workload::new("nap-thread", nap_thread)],
};

/// A thread naps so many times, and says how often it was switched out meanwhile.
fn nap_thread(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let naps = load::count(args)?;
    let time = libc::timespec { tv_sec: 0, tv_nsec: NAP.as_nanos() as i64 };
    gate.wait(&json!({}))?;
    let nap = move || {
        let mut deed = Deed::new(naps, libc::SYS_nanosleep, [(&raw const time) as u64, 0, 0, 0]);
        let before = Switches::of_thread()?;
        nap::run(&mut deed);
        Ok(Switches::of_thread()? - before)
    };
    let Ok(switches) = thread::spawn(nap).join() else { bail!("the thread panicked") };
    let switches: Result<Switches> = switches;
    let Switches { voluntary, involuntary } = switches?;
    Ok(json!({ "slept": voluntary, "preempted": involuntary }))
}

/// What a run beside the workload saw of its naps.
struct Naps {
    rows: Vec<Value>,
    /// How often it slept.
    slept: u64,
    /// How often it may have been off its CPU at most where it sleeps: as it goes to sleep and as it comes back,
    /// others may want the CPU while it could run.
    most: u64,
}

impl Naps {
    fn count(&self) -> u64 {
        rows::sum(&self.rows, "count")
    }
}

fn naps(args: &[&str]) -> Result<Naps> {
    let mut load = Load::start(&["nap-thread", &NAPS.to_string()])?;
    let tool = Tool::json("offcputime", &[args, &["-L", "-p", &load.pid()]].concat())?;
    let account = load.finish()?;
    let slept = rows::number(&account, "slept");
    // Seldom is a nap none.
    ensure!((NAPS / 2..=NAPS).contains(&slept), "{NAPS} naps were {slept} sleeps");
    let mut rows = tool.interrupt()?.ok()?.rows()?;
    // The innermost function is the one that switches threads.
    let is_nap = |row: &Value| {
        rows::ends_with(&row["user_stack"], &nap::STACK)
            && rows::ends_with(&row["kernel_stack"], &["do_nanosleep", "schedule", "__schedule"])
    };
    rows.retain(is_nap);
    Ok(Naps { rows, slept, most: slept + rows::number(&account, "preempted") })
}

fn tells_where_threads_sleep() -> Result<()> {
    let naps = naps(&[])?;
    let (count, slept) = (naps.count(), naps.slept);
    ensure!((slept..=naps.most).contains(&count), "{count} naps, not {slept} to {}", naps.most);
    let total = rows::sum(&naps.rows, "total_us");
    let least = slept * NAP.as_micros() as u64;
    // An emulated machine may oversleep; and a sleep is short if the machine had no processor as it began.
    ensure!((least / 2..least * 20).contains(&total), "{slept} naps of {NAP:?} took {total} us");
    Ok(())
}

fn knows_functions_however_they_are_built() -> Result<()> {
    let mut shapes = [Shapes::start("sleep", 17)?, Shapes::start("lock", 17)?];
    let pids = shapes.each_ref().map(Shapes::pids).join(",");
    let tool = Tool::json("offcputime", &["--state", "interruptible", "-p", &pids])?;
    let accounts = shapes.iter_mut().map(Shapes::finish).collect::<Result<Vec<_>>>()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    for (shapes, accounts) in shapes.iter().zip(&accounts) {
        shapes.have_shares(&rows, "total_us", accounts)?;
        for (seen, account) in shapes.seen(&rows, "total_us")?.iter().flatten().zip(accounts.iter().flatten())
        {
            // A thread cannot have been without a CPU longer than it has waited. Where its return is not told, when it
            // came back is known by how long it ran.
            ensure!(seen * 20 <= account * 21, "{seen} us, where the program waited {account}: {rows:?}");
        }
    }
    Ok(())
}

fn keeps_to_times() -> Result<()> {
    equal("naps longer than 10 s", naps(&["--min", "10s"])?.count(), 0)?;
    let naps_to = naps(&["--max", "100us"])?;
    let (short, slept) = (naps_to.count(), naps_to.slept);
    ensure!(short < slept / 2, "{short} of {slept} sleeps are no naps");
    let naps_from = naps(&["--min", "100us", "--max", "10s"])?;
    let (long, slept) = (naps_from.count(), naps_from.slept);
    ensure!((slept / 2..=naps_from.most).contains(&long), "{long} of {slept} sleeps are naps");
    Ok(())
}

fn keeps_to_states() -> Result<()> {
    let asleep = naps(&["--state", "interruptible"])?;
    equal("interruptible naps", asleep.count(), asleep.slept)?;
    equal("other naps", naps(&["--state", "uninterruptible,stopped"])?.rows.len(), 0)?;
    let output = tracer(&["offcputime", "--state", "asleep"]).output()?;
    ensure!(output.fails(2)?.contains("uninterruptible"), "{output}");
    Ok(())
}

fn shows_kernel_threads_on_request() -> Result<()> {
    let is_kernel = |row: &Value| {
        let stack = row["kernel_stack"].as_array().cloned().unwrap_or_default();
        stack.first().is_some_and(|first| first == "ret_from_fork_asm" || first == "ret_from_fork")
            && stack.contains(&"kthread".into())
    };
    // One or the other is woken before long: those that do what the kernel has put off.
    let mut tool = Tool::json("offcputime", &["-k", "-K", "0.05"])?;
    while !is_kernel(&tool.row()?) {}
    tool.interrupt()?.ok()?;
    let tool = Tool::json("offcputime", &["-K"])?;
    Load::start(&["nap-thread", "5"])?.finish().context("naps")?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let threads = rows.iter().filter(|row| is_kernel(row)).count();
    equal("rows of the kernel's threads", threads, 0)
}
