//! `-- CMD`: the command's own life, and tracer's beside it.

use std::{
    fs,
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::Command,
};

use crate::harness::{
    Context, Gate, Load, Result, Scratch, Suite, Test, Value, Workload, bail, ensure, equal, json, load,
    rows, sys, tool, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::command",
    standard: None,
    tests: &[
        Test::new("a_commands_status", a_commands_status),
        Test::new("its_first_exec_is_seen", its_first_exec_is_seen),
        Test::new("a_command_is_traced_with_its_children", a_command_is_traced_with_its_children),
        Test::new("descendants_that_outlive_it", descendants_that_outlive_it),
        Test::new("it_outlives_the_tracing", it_outlives_the_tracing),
        Test::new("signals_are_passed_on", signals_are_passed_on),
        Test::new("signals_of_the_terminal_come_once", signals_of_the_terminal_come_once),
        Test::new("ignored_signals_stay_ignored", ignored_signals_stay_ignored),
        Test::new("a_command_runs_as_the_invoker", a_command_runs_as_the_invoker),
        Test::new("a_command_inherits_no_descriptor", a_command_inherits_no_descriptor),
    ],
    workloads: &[
        Workload::new("descriptors", descriptors),
        Workload::new("outlive", outlive),
        Workload::new("signals", signals),
        Workload::new("ignored", ignored),
        Workload::new("nohup", nohup),
    ],
};

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

/// execsnoop shows how the command came to be, and nothing of how tracer started it.
fn its_first_exec_is_seen() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    let program = load::this_program()?;
    let run = tracer(&["execsnoop", "--json", "-o", &file, "--"]).arg(&program);
    let output = run.arg(load::WORD).arg("idle").output()?.ok()?;
    let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
    let rows = rows::parse(&fs::read_to_string(&file)?)?;
    equal("rows", rows.len(), 1)?;
    equal("pid", &rows[0]["pid"], &account["pid"])?;
    let args = format!("{} {} idle", program.display(), load::WORD);
    equal("args", rows[0]["args"].as_str(), Some(&*args))
}

/// Ends at once; its child opens files after that.
fn outlive(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let (ended, own) = std::io::pipe()?;
    sys::fork(|| {
        let _ = sys::close(own.as_raw_fd() as usize);
        let _ = sys::readable(&ended, crate::harness::deadline());
        (0..23).for_each(|_| open());
        0
    })?;
    Ok(json!({}))
}

fn open() {
    let args = [libc::AT_FDCWD as usize, c"/dev/null".as_ptr() as usize, 0, 0];
    if let Ok(fd) = sys::call(libc::SYS_openat, &args) {
        let _ = sys::close(fd);
    }
}

fn descendants_that_outlive_it() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    let run = tracer(&["opensnoop", "--json", "-o", &file, "--wait", "--"]).arg(load::this_program()?);
    let output = run.arg(load::WORD).arg("outlive").env(load::STATUS_VARIABLE, "7").output()?;
    equal("exit code", output.code, 7).context(output.to_string())?;
    let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
    let rows = rows::parse(&fs::read_to_string(&file)?)?;
    let opens = rows::with(&rows, "path", &"/dev/null".into());
    let of_child: Vec<_> = opens.iter().filter(|row| row["pid"] != account["pid"]).collect();
    equal("opens after the command's end", of_child.len(), 23)
}

/// Tracing ends by itself, or fails; the command goes on, and tracer waits for it.
fn it_outlives_the_tracing() -> Result<()> {
    for (words, code, complaints) in [
        (&["opensnoop", "-o", "/dev/null", "-c", "1"][..], 7, 0),
        (&["opensnoop", "-o", "/dev/null", "-d", "1ms"], 7, 0),
        (&["syscount", "-o", "/dev/null", "-d", "1ms"], 7, 0),
        (&["opensnoop", "-o", "/dev/full"], 125, 1),
    ] {
        let run = tracer(words).arg("--").arg(load::this_program()?).arg(load::WORD).arg("opens").arg("2003");
        let output = run.env(load::STATUS_VARIABLE, "7").output()?;
        equal("exit code", output.code, code).context(output.to_string())?;
        equal("words on stderr", output.stderr.lines().count(), complaints).context(output.to_string())?;
        let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
        ensure!(account["pid"].is_u64(), "the command did not reach its end: {account}");
    }
    Ok(())
}

/// What tracer passes on.
const SIGNALS: [libc::c_int; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// Tells of each signal it gets, until one of them is SIGUSR2.
fn signals(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let mut set = 0u64;
    SIGNALS.iter().for_each(|signal| set |= 1 << (signal - 1));
    let set = (&raw const set) as usize;
    let size = size_of::<u64>();
    sys::call(libc::SYS_rt_sigprocmask, &[libc::SIG_BLOCK as usize, set, 0, size])
        .map_err(std::io::Error::from_raw_os_error)?;
    gate.wait(&json!({}))?;
    let mut got = Vec::new();
    while got.last() != Some(&(libc::SIGUSR2 as usize)) {
        // Stopped and continued, the call fails with EINTR.
        if let Ok(signal) = sys::call(libc::SYS_rt_sigtimedwait, &[set, 0, 0, size]) {
            got.push(signal);
            load::tell(&signal.into())?;
        }
    }
    Ok(json!({ "signals": got }))
}

fn signals_are_passed_on() -> Result<()> {
    let run = tracer(&["opensnoop", "-o", "/dev/null", "--"]).arg(load::this_program()?);
    let mut tool = run.arg(load::WORD).arg("signals").start()?;
    // It is the command that speaks: it runs.
    tool.line()?;
    for signal in SIGNALS {
        tool.signal(signal)?;
        equal("signal", tool.line()?.trim_end(), signal.to_string())?;
    }
    let output = tool.end()?.ok()?;
    let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
    equal("signals", &account["signals"], &json!(SIGNALS))
}

/// Ctrl-C reaches the whole group: tracer is not to send it again.
fn signals_of_the_terminal_come_once() -> Result<()> {
    const CTRL_C: u8 = 3;
    const TIMES: usize = 5;
    let run = tracer(&["opensnoop", "-o", "/dev/null", "--"]).arg(load::this_program()?);
    let (mut tool, terminal) = run.arg(load::WORD).arg("signals").start_in_terminal()?;
    tool.line()?;
    for _ in 0..TIMES {
        sys::call(libc::SYS_write, &[terminal.as_raw_fd() as usize, [CTRL_C].as_ptr() as usize, 1])
            .map_err(std::io::Error::from_raw_os_error)?;
        equal("signal", tool.line()?.trim_end(), libc::SIGINT.to_string())?;
    }
    tool.signal(libc::SIGUSR2)?;
    let output = tool.end()?.ok()?;
    let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
    let wanted: Vec<_> = [libc::SIGINT; TIMES].into_iter().chain([libc::SIGUSR2]).collect();
    equal("signals", &account["signals"], &json!(wanted))
}

/// Tells which signals are ignored.
fn ignored(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).context("no SigIgn")?;
    let set = u64::from_str_radix(line.trim(), 16)?;
    let is_ignored = |signal: &libc::c_int| set & 1 << (signal - 1) != 0;
    Ok(json!({ "ignored": SIGNALS.iter().copied().filter(is_ignored).collect::<Vec<_>>() }))
}

/// Runs tracer as nohup(1) does.
fn nohup(_: &mut Gate, args: &[String]) -> Result<Value> {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let error = Command::new(tool::path()?).args(args).exec();
    bail!("exec: {error}")
}

fn ignored_signals_stay_ignored() -> Result<()> {
    let this = load::this_program()?;
    let words = [load::WORD, "nohup", "opensnoop", "-o", "/dev/null", "--"];
    let run = tracer(&words).program(&this).env("TRACER", tool::path()?).arg(&this);
    let output = run.arg(load::WORD).arg("ignored").output()?.ok()?;
    let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
    equal("ignored signals", &account["ignored"], &json!([libc::SIGHUP]))
}
