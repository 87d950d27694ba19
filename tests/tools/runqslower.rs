//! runqslower: threads that wait long for a CPU.

use std::{
    io::{Read, Write, pipe},
    time::{Duration, Instant},
};

use super::runqlat::{ROUNDS, expect_rows, ping_pong_beside};
use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json, load::comm,
        rows, sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "runqslower",
    standard: Some(Standard {
        tool: "runqslower",
        shape: Shape::Snoop,
        args: &["--min", "0"],
        keys: &["pid", "tid", "uid", "comm", "cpu", "latency_us", "prev_pid", "prev_tid", "prev_comm"],
        table: &["pid", "tid", "comm", "cpu", "latency_us", "prev_pid", "prev_comm"],
        load: &["ping-pong"],
        // The partner may answer before the process has gone to sleep, but seldom.
        events: Events::AtLeast(ROUNDS / 10),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_every_wait", sees_every_wait),
        Test::new("sees_long_waits_and_who_had_the_cpu", sees_long_waits_and_who_had_the_cpu),
        Test::new("leaves_short_waits_out", leaves_short_waits_out),
    ],
    workloads: &[Workload::new("preempted", preempted)],
};

fn sees_every_wait() -> Result<()> {
    let (rows, switches, pid) = ping_pong_beside("runqslower", &["--min", "0"])?;
    for row in &rows {
        let own = [&row["pid"], &row["tid"], &row["uid"]].map(Value::as_u64);
        equal("pid, tid and uid", own, [Some(pid.into()), Some(pid.into()), Some(sys::uid().into())])?;
        equal("comm", rows::text(row, "comm"), "tracer-tests")?;
        ensure!(row["prev_tid"] != pid, "a thread that waited for itself: {row}");
    }
    expect_rows(rows.len() as u64, switches)
}

const WAITS: u64 = 7;
const WAIT: Duration = Duration::from_millis(20);

/// Runs on the first CPU of those allowed, before all threads but real-time ones above `priority`.
fn take_cpu(priority: i32) -> Result<()> {
    sys::pin_to(sys::cpus()?[0])?;
    sys::set_real_time(priority).context("becoming a real-time thread")
}

/// Wakes a child that takes this process's CPU for a while, again and again.
fn preempted(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (mut from_parent, mut to_child) = pipe()?;
    let (mut from_child, mut to_parent) = pipe()?;
    let child = sys::fork(|| {
        if take_cpu(2).is_err() {
            return 1;
        }
        let _ = to_parent.write_all(b"!");
        for _ in 0..WAITS {
            let _ = from_parent.read_exact(&mut [0]);
            let start = Instant::now();
            while start.elapsed() < WAIT {}
        }
        0
    })?;
    // A real-time thread has the CPU as soon as the child gives it back, whoever else wants it.
    take_cpu(1)?;
    from_child.read_exact(&mut [0])?;
    gate.wait(&json!({}))?;
    for _ in 0..WAITS {
        to_child.write_all(b"!")?;
    }
    sys::wait(child)?;
    Ok(json!({ "child": child, "comm": comm() }))
}

fn sees_long_waits_and_who_had_the_cpu() -> Result<()> {
    let mut load = Load::start(&["preempted"])?;
    let least = WAIT.as_micros() as u64;
    let tool = Tool::json("runqslower", &["--min", &format!("{least}us"), "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("rows", rows.len() as u64, WAITS)?;
    for row in &rows {
        equal("prev_pid and prev_tid", [&row["prev_pid"], &row["prev_tid"]], [&account["child"]; 2])?;
        equal("prev_comm", &row["prev_comm"], &account["comm"])?;
        let latency = rows::number(row, "latency_us");
        ensure!(latency >= least, "the thread waited for {WAIT:?}, the row says {row}");
    }
    Ok(())
}

fn leaves_short_waits_out() -> Result<()> {
    let mut load = Load::start(&["preempted"])?;
    let tool = Tool::json("runqslower", &["--min", "30s", "-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    ensure!(rows.is_empty(), "a short wait: {}", rows[0]);
    Ok(())
}
