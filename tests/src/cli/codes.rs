//! The exit codes, one by one, as the README has them.

use super::as_nobody;
use crate::harness::{Context, Result, Suite, Test, equal, load, tracer};

pub const SUITE: Suite = Suite {
    name: "cli::codes",
    standard: None,
    tests: &[
        Test::new("of_tracer_itself", of_tracer_itself),
        Test::new("with_a_command", with_a_command),
        Test::new("losses_with_a_command", losses_with_a_command),
    ],
    workloads: &[],
};

/// Above what the kernel ever gives.
const NOBODYS_PID: &str = "4194305";

fn of_tracer_itself() -> Result<()> {
    let code = |words: &[&str]| tracer(words).output().map(|output| output.code);
    equal("done, by its time", code(&["opensnoop", "-d", "1ms"])?, 0)?;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let tool = tracer(&["opensnoop"]).start()?;
        tool.signal(signal)?;
        equal("done, by a signal", tool.end()?.code, 0)?;
    }
    equal("failed: no such process", code(&["opensnoop", "-p", NOBODYS_PID])?, 1)?;
    equal("failed: output", code(&["opensnoop", "-d", "1ms", "-o", "/no/such/file"])?, 1)?;
    equal("usage: no such tool", code(&["nosuchtool"])?, 2)?;
    equal("usage: no such flag", code(&["opensnoop", "--nosuchflag"])?, 2)?;
    equal("not permitted", as_nobody(&["opensnoop", "-d", "1ms"])?.code, 3)?;
    equal("no expected row", code(&["opensnoop", "-d", "1ms", "--expect", "fd == -7"])?, 6)?;
    let lacking = tracer(&["opensnoop", "-d", "1ms"]).without("/sys/kernel/btf");
    equal("lacking in this kernel", lacking.output()?.code, 4)
}

fn with_a_command() -> Result<()> {
    let this = load::this_program()?;
    let idle = |words: &[&str]| {
        let run = tracer(&[words, &["-o", "/dev/null", "--"]].concat());
        run.arg(&this).arg(load::WORD).arg("idle")
    };
    for (what, run, code) in [
        ("the command's", idle(&["opensnoop"]).env(load::STATUS_VARIABLE, "0"), 0),
        ("the command's", idle(&["opensnoop"]).env(load::STATUS_VARIABLE, "3"), 3),
        (
            "the command's, though tracing ended",
            idle(&["opensnoop", "-d", "1ms"]).env(load::STATUS_VARIABLE, "9"),
            9,
        ),
        ("usage", idle(&["opensnoop", "--nosuchflag"]), 2),
        ("tracer failed", idle(&["opensnoop", "-p", NOBODYS_PID]), 125),
        ("tracer lacks something", idle(&["opensnoop"]).without("/sys/kernel/btf"), 125),
    ] {
        let output = run.output()?;
        equal(what, output.code, code).context(output.to_string())?;
    }
    equal("not permitted", as_nobody(&["opensnoop", "--", "true"])?.code, 125)?;
    let run = |words: &[&str]| tracer(&[&["opensnoop", "-o", "/dev/null", "--"], words].concat()).output();
    equal("not to be run", run(&["/dev/null"])?.code, 126)?;
    equal("not there", run(&["/no/such/command"])?.code, 127)?;
    let died =
        tracer(&["opensnoop", "-o", "/dev/null", "--"]).arg(&this).arg(load::WORD).arg("die").output()?;
    equal("ended by a signal", died.code, 128 + libc::SIGTERM)
}

/// More opens than the smallest buffer holds, one right after the other.
fn losses_with_a_command() -> Result<()> {
    for (strict, status, code) in [(false, "0", 0), (true, "0", 5), (true, "7", 7)] {
        let mut words = vec!["opensnoop", "--buffer", "4k", "-o", "/dev/null"];
        words.extend(strict.then_some("--strict"));
        let run = tracer(&words).arg("--").arg(load::this_program()?).arg(load::WORD).arg("open-storm");
        let output = run.arg("20011").env(load::STATUS_VARIABLE, status).output()?;
        equal("exit code", output.code, code).context(output.to_string())?;
    }
    Ok(())
}
