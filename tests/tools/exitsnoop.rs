//! exitsnoop: how and after how long processes end.

use std::{
    env, fs,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json,
        load::{comm, count},
        rows, sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "exitsnoop",
    standard: Some(Standard {
        tool: "exitsnoop",
        shape: Shape::Snoop,
        args: &[],
        keys: &["pid", "tid", "ppid", "uid", "comm", "age_ms", "code", "signal", "core"],
        table: &["pid", "ppid", "uid", "comm", "age_ms", "code", "signal", "core"],
        load: &["exits", "23"],
        events: Events::Exactly(23),
        of_children: true,
        needs: nothing,
    }),
    tests: &[
        Test::new("tells_codes_and_signals", tells_codes_and_signals),
        Test::new("sees_failures_only", sees_failures_only),
        Test::new("tells_the_age", tells_the_age),
        Test::new("waits_for_the_last_thread", waits_for_the_last_thread),
        Test::new("tells_once_of_threads_that_end_together", tells_once_of_threads_that_end_together),
        Test::new("sees_threads", sees_threads),
        Test::new("sees_processes_only", sees_processes_only),
    ],
    workloads: &[
        Workload::new("exits", exits),
        Workload::new("exit-table", exit_table),
        Workload::new("exit-aged", exit_aged),
        Workload::new("exit-leader-first", exit_leader_first),
        Workload::new("exit-together", exit_together),
        Workload::new("exit-threads", exit_threads),
    ],
};

/// Children that end with codes from 0 on.
fn exits(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    gate.wait(&json!({}))?;
    let pids = (0..times).map(|code| {
        let pid = sys::fork(|| code as i32)?;
        sys::wait(pid)?;
        Ok(pid)
    });
    Ok(json!({ "pids": pids.collect::<Result<Vec<_>>>()? }))
}

/// The row of a child, from what wait(2) says of it.
fn row(pid: i32, status: i32) -> Result<Value> {
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    Ok(json!({
        "pid": pid, "tid": pid, "ppid": sys::pid(), "uid": sys::uid(), "comm": comm(),
        "code": libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        "signal": signal.map(signal_name).transpose()?,
        "core": libc::WCOREDUMP(status),
    }))
}

fn signal_name(signal: i32) -> Result<&'static str> {
    let names = [
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGABRT, "SIGABRT"),
    ];
    let found = names.iter().find(|(number, _)| *number == signal);
    found.map(|(_, name)| *name).with_context(|| format!("signal {signal}"))
}

/// Children that end in every way.
fn exit_table(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let signals = [libc::SIGKILL, libc::SIGSEGV, libc::SIGTERM, libc::SIGUSR1, libc::SIGABRT];
    let core = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // A limit that cannot be raised means no core dumps, and wait(2) will say so.
    let _ = sys::call(libc::SYS_setrlimit, &[libc::RLIMIT_CORE as usize, (&raw const core) as usize]);
    env::set_current_dir(gate.home()?.path())?;
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for code in [0, 7, 255] {
        let pid = sys::fork(|| code)?;
        rows.push(row(pid, sys::wait(pid)?)?);
    }
    for signal in signals {
        let pid = sys::fork(|| {
            // The runtime has a handler of its own for some; the signal is to end the process.
            // SAFETY: the default action needs no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            let _ = sys::kill(sys::pid(), signal);
            1
        })?;
        rows.push(row(pid, sys::wait(pid)?)?);
    }
    Ok(json!({ "rows": rows }))
}

/// The rows of a workload's children, in order.
fn rows_of_children(load: &Load, rows: &[Value]) -> Vec<Value> {
    rows::with(rows, "ppid", &load.id.into())
}

fn tells_codes_and_signals() -> Result<()> {
    let mut load = Load::start(&["exit-table"])?;
    let tool = Tool::json("exitsnoop", &[])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::are(&rows_of_children(&load, &rows), rows::wanted(&account)?)?;
    equal("rows of the workload itself", rows::of_pid(&rows, load.id).len(), 1)
}

fn sees_failures_only() -> Result<()> {
    let mut load = Load::start(&["exit-table"])?;
    let tool = Tool::json("exitsnoop", &["-x", "-f", "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let mut want = rows::wanted(&account)?.clone();
    want.retain(|row| row["code"] != 0);
    rows::are(&rows, &want)
}

/// Children that live for some time, and how long they lived at least and at most.
fn exit_aged(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for millis in [0, 20, 150] {
        let start = Instant::now();
        let pid = sys::fork(|| {
            thread::sleep(Duration::from_millis(millis));
            0
        })?;
        sys::wait(pid)?;
        let most = start.elapsed().as_secs_f64() * 1e3;
        rows.push(json!({ "pid": pid, "least": millis, "most": most }));
    }
    Ok(json!({ "rows": rows }))
}

fn tells_the_age() -> Result<()> {
    /// The row is rounded, and the clocks are not the same.
    const SLACK: f64 = 0.01;
    let mut load = Load::start(&["exit-aged"])?;
    let tool = Tool::json("exitsnoop", &[])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let rows = rows_of_children(&load, &rows);
    let want = rows::wanted(&account)?;
    equal("rows", rows.len(), want.len())?;
    for (got, want) in rows.iter().zip(want) {
        let number = |row: &Value, key: &str| row[key].as_f64().with_context(|| format!("no {key}: {row}"));
        let (age, least, most) = (number(got, "age_ms")?, number(want, "least")?, number(want, "most")?);
        let is_right = (least..=most + SLACK).contains(&age);
        ensure!(is_right, "age {age} is not from {least} to {most}");
    }
    Ok(())
}

/// A child whose first thread ends before another one ends the process.
fn exit_leader_first(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for _ in 0..3 {
        let pid = sys::fork(|| {
            thread::spawn(|| {
                while !is_zombie(sys::pid()) {
                    thread::yield_now();
                }
                // SAFETY: ends the process.
                unsafe { libc::_exit(5) }
            });
            let _ = sys::call(libc::SYS_exit, &[0]);
            1
        })?;
        rows.push(row(pid, sys::wait(pid)?)?);
    }
    ensure!(rows.iter().all(|row| row["code"] == 5), "the children did not end as planned: {rows:?}");
    Ok(json!({ "rows": rows }))
}

/// Whether a process's first thread has ended.
fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/self/task/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn waits_for_the_last_thread() -> Result<()> {
    let mut load = Load::start(&["exit-leader-first"])?;
    let tool = Tool::json("exitsnoop", &[])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let mut want = rows::wanted(&account)?.clone();
    for row in &mut want {
        // It is the last thread's, whichever that is.
        row.as_object_mut().context("not an object")?.remove("tid");
    }
    rows::are(&rows_of_children(&load, &rows), &want)
}

/// Children whose threads end at the same moment, each by itself.
fn exit_together(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let mut pids = Vec::new();
    for _ in 0..199 {
        let pid = sys::fork(|| {
            let together = Arc::new(Barrier::new(3));
            for _ in 0..2 {
                let together = Arc::clone(&together);
                thread::spawn(move || {
                    together.wait();
                    let _ = sys::call(libc::SYS_exit, &[0]);
                });
            }
            together.wait();
            let _ = sys::call(libc::SYS_exit, &[0]);
            1
        })?;
        sys::wait(pid)?;
        pids.push(pid);
    }
    Ok(json!({ "pids": pids }))
}

fn tells_once_of_threads_that_end_together() -> Result<()> {
    let mut load = Load::start(&["exit-together"])?;
    let tool = Tool::json("exitsnoop", &[])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let got: Vec<_> = rows_of_children(&load, &rows).iter().map(|row| row["pid"].clone()).collect();
    equal("processes that ended", &Value::from(got), &account["pids"])
}

/// Threads that end one after the other, in the workload itself.
fn exit_threads(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let tids = (0..11).map(|_| thread::spawn(sys::tid).join().ok().context("a thread"));
    let tids = tids.collect::<Result<Vec<_>>>()?;
    Ok(json!({ "tids": tids }))
}

fn sees_threads() -> Result<()> {
    let mut load = Load::start(&["exit-threads"])?;
    let tool = Tool::json("exitsnoop", &["--threads", "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let ended = account["tids"].as_array().context("no tids")?;
    let want = ended.iter().cloned().chain([load.id.into()]);
    let want: Vec<_> = want.map(|tid| json!({ "tid": tid, "pid": load.id })).collect();
    // A joined thread has left its stack, but may not yet have left the kernel.
    rows::are_in_any_order(&rows, &want, &["tid"])
}

fn sees_processes_only() -> Result<()> {
    let mut load = Load::start(&["exit-threads"])?;
    let tool = Tool::json("exitsnoop", &["-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    // For the reason above, the last thread to leave need not be the first one.
    rows::are(&rows, &[json!({ "pid": load.id })])
}
