//! `-- CMD`: the command's own life, and tracer's beside it.

use std::{
    fs,
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::Command,
};

use crate::harness::{
    Context, Gate, Load, Result, Scratch, Suite, Test, Value, Workload, bail, deadline, ensure, equal, json,
    load, rows, sys, tool, tracer,
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
        Test::new("ctrl_z_stops_both_and_fg_goes_on", ctrl_z_stops_both),
        Test::new("ignored_signals_stay_ignored", ignored_signals_stay_ignored),
        Test::new("a_command_runs_as_the_invoker", a_command_runs_as_the_invoker),
        Test::new("the_invoker_is_whole", the_invoker_is_whole),
        Test::new("a_command_inherits_no_descriptor", a_command_inherits_no_descriptor),
    ],
    workloads: &[
        Workload::new("descriptors", descriptors),
        Workload::new("outlive", outlive),
        Workload::new("signals", signals),
        Workload::new("ignored", ignored),
        Workload::new("nohup", nohup),
        Workload::new("job-shell", job_shell),
        Workload::new("identity", identity),
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

/// Tells who this process is.
fn identity(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let status = fs::read_to_string("/proc/self/status")?;
    let numbers = |name: &str| -> Vec<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let variables = ["HOME", "USER", "LOGNAME", "SHELL"].map(|name| std::env::var(name).unwrap_or_default());
    Ok(json!({
        "uid": numbers("Uid:"), "gid": numbers("Gid:"), "groups": numbers("Groups:"), "variables": variables,
    }))
}

/// Not the number alone: the groups, the home and the shell are those of the system's files.
fn the_invoker_is_whole() -> Result<()> {
    let (scratch, etc) = (Scratch::new()?, Scratch::new()?);
    fs::write(etc.file("passwd"), "root:x:0:0::/root:/bin/sh\nmover:x:4001:4002:M:/home/mover:/bin/zsh\n")?;
    fs::write(
        etc.file("group"),
        "movers:x:4002:\nmixers:x:4003:root,mover\nmakers:x:4004:mover\nno:x:4005:\n",
    )?;
    let program = scratch.program("command", &load::this_program()?)?;
    let etc = etc.path().display().to_string();
    let run = tracer(&["opensnoop", "-o", "/dev/null", "--as-user", "--"]).arg(&program).with(&etc, "/etc");
    let run = run.arg(load::WORD).arg("identity").env("HOME", "/root").env("USER", "root");
    let output = run.env("SUDO_UID", "4001").env("SUDO_GID", "4002").output()?.ok()?;
    let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
    equal("uid", &account["uid"], &json!([4001, 4001, 4001, 4001]))?;
    equal("gid", &account["gid"], &json!([4002, 4002, 4002, 4002]))?;
    equal("groups", &account["groups"], &json!([4003, 4004]))?;
    equal("variables", &account["variables"], &json!(["/home/mover", "mover", "mover", "/bin/zsh"]))
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

/// What a shell does with a job: it runs in the terminal's foreground, and when it was stopped, goes on there.
fn job_shell(_: &mut Gate, args: &[String]) -> Result<Value> {
    let terminal = fs::File::options().read(true).write(true).open("/dev/tty")?;
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    let job = Command::new(tool::path()?).args(args).process_group(0).spawn()?.id();
    let to_foreground = || {
        // SAFETY: takes a descriptor that is open and a number.
        match unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), job.cast_signed()) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    to_foreground()?;
    loop {
        let mut status = 0;
        // SAFETY: writes to a local number.
        let waited = unsafe { libc::waitpid(job.cast_signed(), &raw mut status, libc::WUNTRACED) };
        ensure!(waited == job.cast_signed(), "waitpid: {}", std::io::Error::last_os_error());
        if !libc::WIFSTOPPED(status) {
            return Ok(json!({ "status": status }));
        }
        load::tell(&json!({ "stopped": states_of_group(job)?, "job": job }))?;
        to_foreground()?;
        // SAFETY: takes numbers.
        unsafe { libc::kill(-job.cast_signed(), libc::SIGCONT) };
    }
}

/// The states of a group's processes, once none of them runs or the time is over.
fn states_of_group(group: u32) -> Result<String> {
    let end = deadline();
    loop {
        let stats = fs::read_dir("/proc")?
            .flatten()
            .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        let states: String = stats
            .filter_map(|stat| {
                let (_, fields) = stat.rsplit_once(") ")?;
                let fields: Vec<&str> = fields.split(' ').collect();
                (*fields.get(2)? == group.to_string()).then(|| fields[0].to_owned())
            })
            .collect();
        if states.chars().all(|state| state == 'T') || std::time::Instant::now() > end {
            return Ok(states);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn ctrl_z_stops_both() -> Result<()> {
    const CTRL_C: u8 = 3;
    const CTRL_Z: u8 = 26;
    let this = load::this_program()?;
    let words = [load::WORD, "job-shell", "opensnoop", "-o", "/dev/null", "--"];
    let run = tracer(&words).program(&this).env("TRACER", tool::path()?).arg(&this);
    let (mut tool, terminal) = run.arg(load::WORD).arg("signals").spawn_in_terminal()?;
    let press = |key: u8| {
        sys::call(libc::SYS_write, &[terminal.as_raw_fd() as usize, [key].as_ptr() as usize, 1])
            .map_err(std::io::Error::from_raw_os_error)
    };
    // It is the command that speaks: it runs.
    tool.line()?;
    let mut job = 0;
    for _ in 0..2 {
        press(CTRL_Z)?;
        let stopped = tool.row()?;
        equal("states", rows::text(&stopped, "stopped"), "TT")?;
        job = rows::number(&stopped, "job");
        press(CTRL_C)?;
        equal("signal", tool.line()?.trim_end(), libc::SIGINT.to_string())?;
    }
    sys::kill(u32::try_from(job)?, libc::SIGUSR2)?;
    let output = tool.end()?.ok()?;
    let account: Value = serde_json::from_str(output.lines()?.last().context("no account")?)?;
    equal("status", &account["status"], &json!(0))
}
