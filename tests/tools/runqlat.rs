//! runqlat: how long threads wait for a CPU.

use std::{
    fs,
    io::{Read, Write, pipe},
    os::unix::fs::MetadataExt,
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json, load::Switches,
        rows, sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub(super) const ROUNDS: u64 = 499;

pub const SUITE: Suite = Suite {
    name: "runqlat",
    standard: Some(Standard {
        tool: "runqlat",
        shape: Shape::Dist,
        args: &["--by-process"],
        keys: &["pid", "comm", "unit", "count", "p50", "p90", "p99", "max", "buckets"],
        table: &[],
        load: &["ping-pong"],
        // The partner may answer before the process has gone to sleep, but seldom.
        events: Events::AtLeast(ROUNDS / 10),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("counts_every_switch", counts_every_switch),
        Test::new("groups_by_thread", groups_by_thread),
        Test::new("groups_by_cpu", groups_by_cpu),
        Test::new("groups_by_pid_namespace", groups_by_pid_namespace),
        Test::new("prints_milliseconds", prints_milliseconds),
        Test::new("prints_intervals", prints_intervals),
    ],
    workloads: &[Workload::new("ping-pong", ping_pong)],
};

/// Passes a byte to and fro with a child, and says how often this process was switched out.
fn ping_pong(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (mut from_child, mut to_parent) = pipe()?;
    let (mut from_parent, mut to_child) = pipe()?;
    let partner = sys::fork(|| {
        let mut byte = [0];
        for _ in 0..ROUNDS {
            let _ = from_parent.read_exact(&mut byte);
            let _ = to_parent.write_all(&byte);
        }
        0
    })?;
    gate.wait(&json!({}))?;
    let before = Switches::of_thread()?;
    let mut byte = [0];
    for _ in 0..ROUNDS {
        to_child.write_all(&byte)?;
        from_child.read_exact(&mut byte)?;
    }
    let switches = (Switches::of_thread()? - before).all();
    sys::wait(partner)?;
    Ok(json!({ "switches": switches, "bystanders": [partner] }))
}

/// The rows of a tool that runs beside the workload, how often that was switched, and its pid.
pub(super) fn ping_pong_beside(tool: &str, args: &[&str]) -> Result<(Vec<Value>, u64, u32)> {
    let mut load = Load::start(&["ping-pong"])?;
    let pid = load.pid();
    let tool = Tool::json(tool, &[args, &["-p", &pid]].concat())?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    Ok((rows, rows::number(&account, "switches"), load.id))
}

fn run(args: &[&str]) -> Result<(Vec<Value>, u64, u32)> {
    let (rows, switches, pid) = ping_pong_beside("runqlat", args)?;
    rows.iter().try_for_each(rows::is_histogram)?;
    Ok((rows, switches, pid))
}

/// Each time the thread was switched out it was switched in again, and waited before that. Besides
/// those it counted itself it waited after the gate, and maybe while it told its account and ended.
pub(super) fn expect_rows(count: u64, switches: u64) -> Result<()> {
    const MORE: u64 = 16;
    let is_right = (switches..=switches + MORE).contains(&count);
    ensure!(is_right, "the thread was switched {switches} times, the tool counts {count}");
    Ok(())
}

pub(super) fn expect_switches(rows: &[Value], switches: u64) -> Result<()> {
    expect_rows(rows::sum(rows, "count"), switches)
}

fn counts_every_switch() -> Result<()> {
    let (rows, switches, _) = run(&[])?;
    equal("rows", rows.len(), 1)?;
    rows::have_keys(&rows, &["unit", "count", "p50", "p90", "p99", "max", "buckets"])?;
    equal("unit", rows::text(&rows[0], "unit"), "us")?;
    expect_switches(&rows, switches)
}

fn groups_by_thread() -> Result<()> {
    let (rows, switches, pid) = run(&["--by-thread"])?;
    equal("rows", rows.len(), 1)?;
    equal("tid", &rows[0]["tid"], pid)?;
    equal("comm", rows::text(&rows[0], "comm"), "tracer-tests")?;
    expect_switches(&rows, switches)
}

fn groups_by_cpu() -> Result<()> {
    let (rows, switches, _) = run(&["--by-cpu"])?;
    let cpus = fs::read_to_string("/sys/devices/system/cpu/present")?;
    let last: u64 = cpus.trim().rsplit(['-', ',']).next().context("no CPU")?.parse()?;
    for row in &rows {
        let cpu = row["cpu"].as_u64().with_context(|| format!("no cpu: {row}"))?;
        ensure!(cpu <= last, "there is no CPU {cpu}");
    }
    expect_switches(&rows, switches)
}

fn groups_by_pid_namespace() -> Result<()> {
    let (rows, switches, _) = run(&["--by-pidns"])?;
    equal("rows", rows.len(), 1)?;
    equal("pidns", &rows[0]["pidns"], fs::metadata("/proc/self/ns/pid")?.ino())?;
    expect_switches(&rows, switches)
}

fn prints_milliseconds() -> Result<()> {
    let (rows, switches, _) = run(&["-m"])?;
    equal("unit", rows::text(&rows[0], "unit"), "ms")?;
    expect_switches(&rows, switches)
}

fn prints_intervals() -> Result<()> {
    let mut load = Load::start(&["ping-pong"])?;
    let tool = Tool::json("runqlat", &["-p", &load.pid(), "1", "2"])?;
    let account = load.finish()?;
    let rows = tool.end()?.ok()?.rows()?;
    expect_switches(&rows, rows::number(&account, "switches"))
}
