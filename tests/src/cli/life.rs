//! How a run begins and ends.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{tool_names, tool_names_here};
use crate::harness::{
    Load, Output, Result, Scratch, Suite, Test, Tool, bpf, deadline, ensure, equal, rows, sys, tool, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::life",
    standard: None,
    tests: &[
        Test::new("sigterm_ends_with_the_summary", sigterm_ends_with_the_summary),
        Test::new("sigkill_leaves_nothing", sigkill_leaves_nothing),
        Test::new("lost_events_are_counted", lost_events_are_counted),
        Test::new("lost_events_fail_a_strict_run", lost_events_fail_a_strict_run),
        Test::new("a_dry_run_loads_nothing", a_dry_run_loads_nothing),
        Test::new("a_link_runs_its_tool", a_link_runs_its_tool),
        Test::new("a_ready_file", a_ready_file),
        Test::new("a_run_can_end_with_its_processes", a_run_can_end_with_its_processes),
        Test::new("a_run_outlives_its_processes", a_run_outlives_its_processes),
    ],
    workloads: &[],
};

fn sigterm_ends_with_the_summary() -> Result<()> {
    let mut load = Load::start(&["syscalls"])?;
    let tool = Tool::json("syscount", &["-p", &load.pid()])?;
    load.finish()?;
    tool.signal(libc::SIGTERM)?;
    let rows = tool.end()?.ok()?.rows()?;
    ensure!(rows.iter().any(|row| row["syscall"] == "getppid"), "no summary: {rows:?}");
    Ok(())
}

fn sigkill_leaves_nothing() -> Result<()> {
    let before = bpf::programs();
    for name in tool_names_here() {
        let tool = Tool::json(name, &[])?;
        ensure!(bpf::held_by(tool.id()), "{name} holds no program while it runs");
        tool.signal(libc::SIGKILL)?;
        equal("exit code", tool.end()?.code, 128 + libc::SIGKILL)?;
    }
    let left = bpf::left_since(&before)?;
    ensure!(left.is_empty(), "programs are left: {left:?}");
    Ok(())
}

/// A run whose output nobody takes until the storm is over.
fn storm(flags: &[&str]) -> Result<(Output, u64)> {
    let mut load = Load::start(&["open-storm", "20011"])?;
    let pid = load.pid();
    let words = ["opensnoop", "--json", "--buffer", "64k", "-p", &pid];
    let mut tool = tracer(&[&words[..], flags].concat()).held().start()?;
    let account = load.finish()?;
    tool.release();
    Ok((tool.interrupt()?, rows::number(&account, "made")))
}

fn expect_lost(output: &Output, made: u64) -> Result<()> {
    ensure!(output.lost() > 0, "events must have been lost: {output}");
    equal("rows and lost events", output.rows()?.len() as u64 + output.lost(), made)
}

fn lost_events_are_counted() -> Result<()> {
    let (output, made) = storm(&[])?;
    expect_lost(&output, made)?;
    equal("exit code", output.code, 0)
}

fn lost_events_fail_a_strict_run() -> Result<()> {
    let (output, made) = storm(&["--strict"])?;
    expect_lost(&output, made)?;
    equal("exit code", output.code, 5)?;
    let mut load = Load::start(&["opens", "23"])?;
    let tool = Tool::json("opensnoop", &["--strict", "-p", &load.pid()])?;
    load.finish()?;
    equal("rows where none is lost", tool.interrupt()?.ok()?.rows()?.len(), 23)
}

fn a_dry_run_loads_nothing() -> Result<()> {
    const MAP_CREATE: u32 = 0;
    for name in tool_names() {
        let mut run = tracer(&[name, "--dry-run"]).forbid(libc::SYS_perf_event_open, None);
        for command in [MAP_CREATE, bpf::PROG_LOAD, bpf::RAW_TRACEPOINT_OPEN, bpf::LINK_CREATE] {
            run = run.forbid(libc::SYS_bpf, Some(command));
        }
        let output = run.output()?;
        let is_right = output.code == 0 || name == "vfsstat" && output.code == 4;
        ensure!(is_right, "exit code: {output}");
        let said = !output.stdout.is_empty() || !output.stderr.is_empty();
        ensure!(said, "{name} does not say what would be");
    }
    Ok(())
}

fn a_link_runs_its_tool() -> Result<()> {
    let scratch = Scratch::new()?;
    let link = scratch.file("opensnoop");
    symlink(tool::path()?, &link)?;
    let mut load = Load::start(&["opens", "23"])?;
    let tool = tracer(&["--json", "-p", &load.pid()]).program(Path::new(&link)).start()?;
    let account = load.finish()?;
    rows::are(&tool.interrupt()?.ok()?.rows()?, rows::wanted(&account)?)
}

fn a_ready_file() -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(5);
    let scratch = Scratch::new()?;
    let file = scratch.file("ready");
    let mut load = Load::start(&["opens", "23"])?;
    let tool = tracer(&["opensnoop", "--json", "--ready-file", &file, "-p", &load.pid()]).start()?;
    let until = deadline();
    while fs::read_to_string(&file).unwrap_or_default() != "ready\n" {
        ensure!(Instant::now() < until, "the ready file does not come");
        thread::sleep(PAUSE);
    }
    load.finish()?;
    equal("rows", tool.interrupt()?.ok()?.rows()?.len(), 23)
}

/// With `--wait`: with the last of them, and with the last descendant under `-f`. Nothing of theirs is missed.
fn a_run_can_end_with_its_processes() -> Result<()> {
    let mut loads = [Load::start(&["opens", "23"])?, Load::start(&["opens", "5"])?];
    let both = format!("{},{}", loads[0].id, loads[1].id);
    let mut tree = Load::start(&["outlive"])?;
    let opens = Tool::json("opensnoop", &["--wait", "-p", &both])?;
    let of_tree = Tool::json("opensnoop", &["--wait", "-f", "-p", &tree.pid()])?;
    let calls = ["--wait", "--syscall", "open,openat,openat2,creat", "-p", &both];
    let summary = Tool::json("syscount", &calls)?;
    loads[0].finish()?;
    tree.finish()?;
    loads[1].finish()?;
    equal("rows of both", opens.end()?.ok()?.rows()?.len(), 28)?;
    let rows = of_tree.end()?.ok()?.rows()?;
    equal("rows of the descendant", rows::with(&rows, "path", &"/dev/null".into()).len(), 23)?;
    equal("calls of both", rows::sum(&summary.end()?.ok()?.rows()?, "count"), 28)?;
    tracer(&["opensnoop", "--wait"]).output()?.fails(2).map(drop)
}

/// Without it, the run goes on; and it shows nobody else.
fn a_run_outlives_its_processes() -> Result<()> {
    let (mut load, mut other) = (Load::start(&["opens", "23"])?, Load::start(&["opens", "5"])?);
    let mut tool = Tool::json("opensnoop", &["-p", &load.pid()])?;
    load.finish()?;
    for _ in 0..23 {
        equal("pid", tool.row()?["pid"].as_u64(), Some(load.id.into()))?;
    }
    other.finish()?;
    ensure!(!sys::ended(tool.id(), Instant::now())?, "it has ended");
    equal("rows", tool.interrupt()?.ok()?.rows()?.len(), 23)
}
