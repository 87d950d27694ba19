//! Floors: the least that programs on a hook can cost. Nothing is read from the ring buffer but thrown away.

use std::{io::Write, os::fd::AsRawFd, path::Path};

use anyhow::{Context, Result};
use aya::{Btf, Ebpf, maps::RingBuf, programs::BtfTracePoint};

/// How long the reader sleeps if nobody wakes it, in milliseconds.
const LOOK_MS: i32 = 25;

/// Attaches the programs, says so, and discards until it is killed.
pub fn run(object: &Path, programs: &[String]) -> Result<()> {
    let btf = Btf::from_sys_fs()?;
    let mut floor = Ebpf::load_file(object).with_context(|| object.display().to_string())?;
    for name in programs {
        let program = floor.program_mut(name).with_context(|| format!("no program {name}"))?;
        let program: &mut BtfTracePoint = program.try_into()?;
        program.load(hook(name), &btf)?;
        program.attach()?;
    }
    let mut ring = RingBuf::try_from(floor.map_mut("EVENTS").context("no ring buffer")?)?;
    println_now("ready")?;
    loop {
        let mut poll = libc::pollfd { fd: ring.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives until the call returns.
        unsafe { libc::poll(&raw mut poll, 1, LOOK_MS) };
        while ring.next().is_some() {}
    }
}

/// The tracepoint of a program, by the last part of its name.
fn hook(name: &str) -> &'static str {
    match name.rsplit('_').next().unwrap_or(name) {
        "exec" => "sched_process_exec",
        "switch" => "sched_switch",
        "wakeup" => "sched_wakeup",
        "state" => "inet_sock_set_state",
        "issue" => "block_rq_issue",
        "complete" => "block_rq_complete",
        _ => "sys_exit",
    }
}

/// A line on stdout, at once.
pub fn println_now(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
