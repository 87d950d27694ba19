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
    Context, Gate, Load, Output, Result, Scratch, Suite, Test, Tool, Value, Workload, bpf, deadline, ensure,
    equal, json, load, rows, tool, tracer,
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
        Test::new("a_commands_status", a_commands_status),
        Test::new("a_command_is_traced_with_its_children", a_command_is_traced_with_its_children),
        Test::new("a_command_gets_the_signals", a_command_gets_the_signals),
        Test::new("a_command_runs_as_the_invoker", a_command_runs_as_the_invoker),
        Test::new("a_command_inherits_no_descriptor", a_command_inherits_no_descriptor),
    ],
    workloads: &[Workload::new("descriptors", descriptors), Workload::new("sleep", sleep)],
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

fn a_commands_status() -> Result<()> {
    let program = load::this_program()?;
    for status in [0, 7, 255] {
        let run = tracer(&["opensnoop", "-q", "--"]).arg(&program);
        let output = run.env(load::EXIT_VARIABLE, status.to_string()).output()?;
        equal("exit code", output.code, status).context(output.to_string())?;
    }
    let run = tracer(&["opensnoop", "-o", "/dev/null", "--"]).arg(&program);
    let output = run.arg(load::WORD).arg("die").output()?;
    equal("exit code", output.code, 128 + libc::SIGTERM).context(output.to_string())
}

fn a_command_is_traced_with_its_children() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    let run = tracer(&["opensnoop", "--json", "-o", &file, "--"]).arg(load::this_program()?);
    let output = run.arg(load::WORD).arg("open-tree").output()?.ok()?;
    let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
    let rows = rows::parse(&fs::read_to_string(&file)?)?;
    for pid in account["pids"].as_array().context("no pids")? {
        let opens = rows::with(&rows, "pid", pid);
        let own = rows::with(&opens, "path", &"/dev/null".into());
        ensure!(!own.is_empty(), "nothing of {pid} among {rows:?}");
    }
    Ok(())
}

/// Sleeps longer than any test.
fn sleep(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    thread::sleep(Duration::from_secs(3600));
    Ok(json!({}))
}

fn a_command_gets_the_signals() -> Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let run = tracer(&["opensnoop", "-o", "/dev/null", "--"]).arg(load::this_program()?);
        let mut tool = run.arg(load::WORD).arg("sleep").start()?;
        // It is the command that speaks: it runs.
        tool.line()?;
        tool.signal(signal)?;
        let output = tool.end()?;
        equal("exit code", output.code, 128 + signal).context(output.to_string())?;
    }
    Ok(())
}

fn a_command_runs_as_the_invoker() -> Result<()> {
    let scratch = Scratch::new()?;
    let program = scratch.program("command", &load::this_program()?)?;
    let file = scratch.file("rows");
    let words = ["opensnoop", "--json", "-o", &file, "--as-user", "--"];
    let user = load::NOBODY.to_string();
    let run = tracer(&words).arg(&program).arg(load::WORD).arg("opens").arg("23");
    run.env("SUDO_UID", &user).env("SUDO_GID", &user).output()?.ok()?;
    let rows = rows::parse(&fs::read_to_string(&file)?)?;
    let own = rows::with(&rows, "path", &"/dev/null".into());
    equal("rows of the user", rows::with(&own, "uid", &load::NOBODY.into()).len(), 23)?;
    let run = tracer(&words).arg(&program).unset("SUDO_UID").output()?;
    run.fails(2).map(drop)
}

/// Tells what descriptors this process was given.
fn descriptors(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let entries = fs::read_dir("/proc/self/fd")?.flatten();
    let targets = entries.filter_map(|entry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let target = fs::read_link(entry.path()).ok()?;
        // The directory that is being read is one of them.
        let is_own = target.starts_with("/proc");
        (number > 2 && !is_own).then(|| format!("{number} is {}", target.display()))
    });
    Ok(json!({ "descriptors": targets.collect::<Vec<_>>() }))
}

fn a_command_inherits_no_descriptor() -> Result<()> {
    let scratch = Scratch::new()?;
    let words = ["opensnoop", "-o", "/dev/null", "--ready-file", &scratch.file("ready"), "--"];
    let run = tracer(&words).arg(load::this_program()?).arg(load::WORD).arg("descriptors");
    let output = run.start()?.end()?.ok()?;
    let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
    // Whoever started the tests may have left some open.
    let before = Load::start(&["descriptors"])?.finish()?;
    equal("descriptors", &account["descriptors"], &before["descriptors"])
}
