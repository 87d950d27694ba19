//! offcputime: how long threads are without a CPU, and where in their code.

use std::time::Duration;

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal,
        frames::{Deed, nap},
        json, load, rows, tracer,
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
        Test::new("keeps_to_times", keeps_to_times),
        Test::new("keeps_to_states", keeps_to_states),
        Test::new("shows_kernel_threads_on_request", shows_kernel_threads_on_request),
    ],
    workloads: &[Workload::new("nap-thread", nap_thread)],
};

/// A thread naps so many times.
fn nap_thread(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let naps = load::count(args)?;
    let time = Box::leak(Box::new(libc::timespec { tv_sec: 0, tv_nsec: NAP.as_nanos() as i64 }));
    let deed = Deed::new(naps, libc::SYS_nanosleep, [(&raw const *time) as u64, 0, 0, 0]);
    gate.wait(&json!({}))?;
    nap::spawn(Box::new(deed))?.join()?;
    Ok(json!({}))
}

/// The rows of the naps.
pub fn naps(rows: &[Value]) -> Vec<Value> {
    let stack = [&["start_thread"], &nap::STACK[..]].concat();
    rows::with(rows, "user_stack", &json!(stack))
}

fn rows_of(args: &[&str]) -> Result<Vec<Value>> {
    let mut load = Load::start(&["nap-thread", &NAPS.to_string()])?;
    let tool = Tool::json("offcputime", &[args, &["-L", "-p", &load.pid()]].concat())?;
    load.finish()?;
    tool.interrupt()?.ok()?.rows()
}

fn tells_where_threads_sleep() -> Result<()> {
    let rows = rows_of(&[])?;
    let slept = |row: &&Value| {
        let stack = row["kernel_stack"].as_array().cloned().unwrap_or_default();
        // The innermost function is the one that switches threads.
        stack.last().is_some_and(|last| last == "__schedule") && stack.contains(&"do_nanosleep".into())
    };
    let naps: Vec<Value> = naps(&rows).iter().filter(slept).cloned().collect();
    equal("naps", rows::sum(&naps, "count"), NAPS)?;
    let total = rows::sum(&naps, "total_us");
    let least = NAPS * NAP.as_micros() as u64;
    // An emulated machine may oversleep.
    ensure!((least * 9 / 10..least * 20).contains(&total), "{NAPS} naps of {NAP:?} took {total} us");
    Ok(())
}

fn keeps_to_times() -> Result<()> {
    equal("naps longer than 10 s", naps(&rows_of(&["--min", "10s"])?).len(), 0)?;
    equal("naps shorter than 100 us", naps(&rows_of(&["--max", "100us"])?).len(), 0)?;
    let some = rows_of(&["--min", "100us", "--max", "10s"])?;
    ensure!(rows::sum(&naps(&some), "count") >= NAPS - 2, "most naps are in between: {some:?}");
    Ok(())
}

fn keeps_to_states() -> Result<()> {
    equal("interruptible naps", rows::sum(&naps(&rows_of(&["--state", "interruptible"])?), "count"), NAPS)?;
    equal("other naps", naps(&rows_of(&["--state", "uninterruptible,stopped"])?).len(), 0)?;
    let output = tracer(&["offcputime", "--state", "asleep"]).output()?;
    ensure!(output.fails(2)?.contains("uninterruptible"), "{output}");
    Ok(())
}

fn shows_kernel_threads_on_request() -> Result<()> {
    for (args, wanted) in [(&["-k"][..], true), (&[][..], false)] {
        let tool = Tool::json("offcputime", &[args, &["-K"]].concat())?;
        // Whoever sleeps till then: the kernel's threads for deferred work do.
        Load::start(&["nap-thread", "5"])?.finish().context("naps")?;
        let rows = tool.interrupt()?.ok()?.rows()?;
        let is_kernel = |row: &&Value| {
            let stack = row["kernel_stack"].as_array().cloned().unwrap_or_default();
            stack.first().is_some_and(|first| first == "ret_from_fork_asm" || first == "ret_from_fork")
                && stack.contains(&"kthread".into())
        };
        let threads = rows.iter().filter(is_kernel).count();
        ensure!((threads > 0) == wanted, "{args:?}: {threads} rows of the kernel's threads");
    }
    Ok(())
}
