//! Bad input and bad surroundings: one line on stderr, the documented exit code.

use std::{
    fs::{self, OpenOptions, Permissions},
    os::unix::fs::PermissionsExt,
};

use super::{as_nobody, tool_names};
use crate::harness::{Context, Load, Result, Scratch, Suite, Test, ensure, equal, load, tracefs, tracer};

pub const SUITE: Suite = Suite {
    name: "cli::errors",
    standard: None,
    tests: &[
        Test::user("an_unknown_tool_has_a_nearest", an_unknown_tool_has_a_nearest),
        Test::user("bad_arguments", bad_arguments),
        Test::new("no_such_process", no_such_process),
        Test::new("no_such_cgroup", no_such_cgroup),
        Test::new("unwritable_output", unwritable_output),
        Test::new("full_disk", full_disk),
        Test::new("no_such_command", no_such_command),
        Test::new("not_root", not_root),
        Test::new("no_btf", no_btf),
        Test::new("btf_from_a_file", btf_from_a_file),
        Test::new("no_tracefs", no_tracefs),
    ],
    workloads: &[],
};

fn an_unknown_tool_has_a_nearest() -> Result<()> {
    for (wrong, right) in [("opensnop", "opensnoop"), ("tcplive", "tcplife"), ("lst", "list")] {
        let output = tracer(&[wrong]).output()?;
        let line = output.fails(2)?;
        ensure!(line.contains(wrong) && line.contains(right), "not {right}: {line:?}");
    }
    tracer(&["xyzzy"]).output()?.fails(2).map(drop)
}

fn bad_arguments() -> Result<()> {
    let table: &[&[&str]] = &[
        &["opensnoop", "-p", "abc"],
        &["opensnoop", "-p", "1,,2"],
        &["opensnoop", "-p", ""],
        &["opensnoop", "-p", "-1"],
        &["opensnoop", "-p", "99999999999"],
        &["opensnoop", "-t", "x"],
        &["opensnoop", "-u", "no-such-user"],
        &["opensnoop", "-d", "10parsecs"],
        &["opensnoop", "-d", "-1"],
        &["opensnoop", "-d", "1e30"],
        &["opensnoop", "-c", "some"],
        &["opensnoop", "-c", "-1"],
        &["opensnoop", "-F", "xml"],
        &["opensnoop", "--columns", "pid,nothing"],
        &["opensnoop", "--columns", "pid,+tid"],
        &["runqlat", "--columns", "pid"],
        &["runqlat", "--filter", "average > 1"],
        &["opensnoop", "--filter", "pid =="],
        &["opensnoop", "--filter", "pid == 1", "--filter", "pid == 2"],
        &["opensnoop", "--forbid", "path < 5"],
        &["opensnoop", "--expect", "comm ~ '('"],
        &["opensnoop", "--time=noon"],
        &["opensnoop", "--buffer", "big"],
        &["opensnoop", "--no-such-flag"],
        &["opensnoop", "-o"],
        &["opensnoop", "5"],
        &["opensnoop", "--ready-fd", "x"],
        &["runqlat", "often"],
        &["runqlat", "0"],
        &["runqlat", "1", "x"],
        &["runqlat", "1", "2", "3"],
        &["tcpconnect", "--port", "99999"],
        &["tcpconnect", "--port", "ssh,"],
        &["syscount", "-e", "ENOTHING"],
        &["syscount", "--syscall", "no_such_call"],
        &["syscount", "--sort", "no_such_column"],
        &["syscount", "--sort", "-count,"],
    ];
    for words in table {
        let output = tracer(words).output()?;
        output.fails(2)?;
    }
    Ok(())
}

fn no_such_process() -> Result<()> {
    // Above what the kernel ever gives.
    let output = tracer(&["opensnoop", "-p", "4194305", "-d", "1ms"]).output()?;
    let line = output.one_line()?;
    ensure!(line.contains("4194305"), "which process: {line:?}");
    ensure!([1, 2].contains(&output.code), "exit code: {output}");
    Ok(())
}

fn no_such_cgroup() -> Result<()> {
    let output = tracer(&["opensnoop", "--cgroup", "/no/such/cgroup", "-d", "1ms"]).output()?;
    ensure!(output.one_line()?.contains("/no/such/cgroup"), "which cgroup: {output}");
    ensure!([1, 2].contains(&output.code), "exit code: {output}");
    Ok(())
}

fn unwritable_output() -> Result<()> {
    let kinds = [["opensnoop", "-o"], ["profile", "--flamegraph"]];
    for ([tool, flag], file) in
        kinds.into_iter().flat_map(|kind| ["/no/such/file", "/tmp"].map(|file| (kind, file)))
    {
        let output = tracer(&[tool, "-d", "1ms", flag, file]).output()?;
        ensure!(output.fails(1)?.contains(file), "which file: {output}");
        let run = tracer(&[tool, flag, file, "--"]).arg(load::this_program()?);
        let output = run.arg(load::WORD).arg("idle").output()?;
        // The command, which would print something, has not run.
        ensure!(output.fails(125)?.contains(file), "which file: {output}");
    }
    Ok(())
}

fn full_disk() -> Result<()> {
    for by_flag in [false, true] {
        let mut load = Load::start(&["opens", "23"])?;
        let pid = load.pid();
        let words = ["opensnoop", "--json", "-p", &pid];
        let run = match by_flag {
            true => tracer(&[&words[..], &["-o", "/dev/full"]].concat()),
            false => tracer(&words).stdout(OpenOptions::new().write(true).open("/dev/full")?),
        };
        let tool = run.start()?;
        load.finish()?;
        let output = tool.end()?;
        ensure!(output.fails(1)?.contains("No space"), "why: {output}");
    }
    Ok(())
}

fn no_such_command() -> Result<()> {
    let output = tracer(&["opensnoop", "--", "/no/such/command"]).output()?;
    ensure!(output.fails(127)?.contains("/no/such/command"), "which command: {output}");
    let output = tracer(&["opensnoop", "--", "no-such-command"]).output()?;
    ensure!(output.fails(127)?.contains("no-such-command"), "which command: {output}");
    let scratch = Scratch::new()?;
    let file = scratch.file("data");
    fs::write(&file, "data")?;
    fs::set_permissions(&file, Permissions::from_mode(0o644))?;
    let output = tracer(&["opensnoop", "--", &file]).output()?;
    ensure!(output.fails(126)?.contains(&file), "which command: {output}");
    Ok(())
}

fn not_root() -> Result<()> {
    for tool in tool_names() {
        as_nobody(&[tool, "-d", "1ms"])?.fails(3).with_context(|| tool.to_owned())?;
    }
    Ok(())
}

fn no_btf() -> Result<()> {
    let output = tracer(&["execsnoop", "--btf", "/no/such/btf", "-d", "1ms"]).output()?;
    ensure!(output.one_line()?.contains("/no/such/btf"), "which file: {output}");
    let scratch = Scratch::new()?;
    let nonsense = scratch.file("nonsense");
    fs::write(&nonsense, "nonsense")?;
    let output = tracer(&["execsnoop", "--btf", &nonsense, "-d", "1ms"]).output()?;
    ensure!(output.one_line()?.contains("BTF"), "why: {output}");
    let output = tracer(&["execsnoop", "-d", "1ms"]).without("/sys/kernel/btf").output()?;
    ensure!(output.fails(4)?.contains("BTF"), "why: {output}");
    Ok(())
}

fn btf_from_a_file() -> Result<()> {
    let scratch = Scratch::new()?;
    let copy = scratch.file("vmlinux");
    fs::copy("/sys/kernel/btf/vmlinux", &copy)?;
    let mut load = Load::start(&["exec-self", "23"])?;
    let words = ["execsnoop", "--json", "--btf", &copy, "-p", &load.pid()];
    let tool = tracer(&words).without("/sys/kernel/btf").start()?;
    load.finish()?;
    equal("rows", tool.interrupt()?.ok()?.rows()?.len(), 23)
}

/// Each tool does without tracefs, or says that it cannot.
fn no_tracefs() -> Result<()> {
    for tool in tool_names() {
        let run = tracer(&[tool, "-d", "1ms"]);
        let output = run.without(tracefs::ROOT).without("/sys/kernel/debug").output()?;
        if output.code != 0 {
            let line = output.fails(4)?;
            let is_told = line.contains("tracefs") || tool == "vfsstat" && line.contains("kprobe");
            ensure!(is_told, "why: {line:?}");
        }
    }
    Ok(())
}
