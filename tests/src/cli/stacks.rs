//! Rows with the stacks of who caused their events.

use std::{fs, net::Ipv4Addr};

use crate::harness::{
    Context, Gate, Load, Output, Result, STACKS_ARE_CUT, Scratch, Suite, Test, Tool, Value, Workload, ensure,
    equal,
    frames::{Deed, nap},
    json,
    load::{self, EXIT_VARIABLE},
    rows, sys,
    tcp::{bound_socket, sockaddr},
    tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::stacks",
    standard: None,
    tests: &[
        Test::new("opens_have_stacks", opens_have_stacks),
        Test::new("every_form_shows_them", every_form_shows_them),
        Test::new("execs_have_the_callers", execs_have_the_callers),
        Test::new("connects_have_stacks", connects_have_stacks),
        Test::new("programs_are_verified", programs_are_verified),
        Test::new("one_side_alone", one_side_alone),
        Test::user("rows_without_stacks_are_told", rows_without_stacks_are_told),
    ],
    workloads: &[
        Workload::new("stack-opens", opens),
        Workload::new("stack-execs", execs),
        Workload::new("stack-connects", connects),
    ],
};

/// How often a workload does what it does.
const TIMES: u64 = 7;
/// No file.
const PATH: &str = "/nonexistent/stacks";

/// Opens what is not there.
fn opens(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let path = sys::text(PATH);
    let at = libc::AT_FDCWD as i64 as u64;
    let mut deed = Deed::new(TIMES, libc::SYS_openat, [at, path.as_ptr() as u64, 0, 0]);
    gate.wait(&json!({}))?;
    nap::run(&mut deed);
    Ok(json!({}))
}

/// Executes a program in each of its children.
fn execs(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let program = gate.home()?.text("program");
    gate.home()?.program("program", &load::this_program()?)?;
    let (argv, environment) = ([program.clone()], [sys::text(format!("{EXIT_VARIABLE}=0"))]);
    let (argv, envp) = (sys::pointers(&argv), sys::pointers(&environment));
    let args = [program.as_ptr() as u64, argv.as_ptr() as u64, envp.as_ptr() as u64, 0];
    gate.wait(&json!({}))?;
    for _ in 0..TIMES {
        let mut deed = Deed::new(1, libc::SYS_execve, args);
        let child = sys::fork(|| {
            nap::run(&mut deed);
            1
        })?;
        equal("the child's status", sys::wait(child)?, 0)?;
    }
    Ok(json!({}))
}

/// Connects to where nobody listens.
fn connects(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (_keeper, to) = bound_socket(Ipv4Addr::LOCALHOST.into(), 0)?;
    let (socket, _) = bound_socket(Ipv4Addr::LOCALHOST.into(), 0)?;
    let to = sockaddr(to);
    use std::os::fd::AsRawFd as _;
    let args = [socket.as_raw_fd() as u64, to.as_ptr() as u64, to.len() as u64, 0];
    let mut deed = Deed::new(TIMES, libc::SYS_connect, args);
    gate.wait(&json!({}))?;
    nap::run(&mut deed);
    Ok(json!({}))
}

/// A tool beside a workload, whose memory it has looked at before.
fn beside(load: &str, tool: &str, args: &[&str]) -> Result<Output> {
    let mut load = Load::start(&[load])?;
    let tool = Tool::text(tool, &[args, &["--strict", "-p", &load.pid()]].concat())?;
    load.finish()?;
    tool.interrupt()?.ok()
}

/// Whether the chain of functions is the inner end of a row's stack in user space, behind what it was called by.
fn has_chain(row: &Value) -> bool {
    let functions = row["user_stack"].as_array().map(Vec::as_slice).unwrap_or_default();
    functions.len() == nap::STACK.len() + 1 && functions[1..] == nap::STACK
}

/// The rows have the chain of functions for a stack in user space; the kernel's stacks begin at its entry and have
/// these functions.
fn are_whole(rows: &[Value], of_kernel: &[&str]) -> Result<()> {
    equal("rows", rows.len() as u64, TIMES)?;
    for row in rows {
        ensure!(has_chain(row), "not the functions that did it: {row}");
        let kernel = row["kernel_stack"].as_array().context("no stack of the kernel")?;
        let entry = kernel.first().and_then(Value::as_str).unwrap_or_default();
        ensure!(entry.starts_with("entry_SYSCALL_64"), "no entry of a system call first: {row}");
        ensure!(kernel.len() > 1, "nothing but the entry: {row}");
        for function in of_kernel {
            ensure!(kernel.contains(&json!(function)), "no {function}: {row}");
        }
        let own = |frame: &Value| frame.as_str().is_some_and(|name| name.starts_with("bpf_"));
        ensure!(!kernel.iter().any(own), "tracer's own functions: {row}");
    }
    Ok(())
}

fn opens_have_stacks() -> Result<()> {
    let rows = beside("stack-opens", "opensnoop", &["--json", "--stack"])?.rows()?;
    let rows = rows::with(&rows, "path", &json!(PATH));
    are_whole(&rows, &[])?;
    let keys: Vec<&String> = rows[0].as_object().context("no object")?.keys().collect();
    ensure!(keys.len() == 13, "ten columns, two stacks and the time: {keys:?}");
    // They are judged as others are.
    let filter = "user_stack == nap_outer && kernel_stack ~ '^entry_SYSCALL'";
    for (filter, some) in [(filter.to_owned(), true), (format!("!({filter})"), false)] {
        let args = ["--json", "--stack", "--columns", "user_stack", "--filter", &filter];
        let rows = beside("stack-opens", "opensnoop", &args)?.rows()?;
        rows::have_keys(&rows, &["user_stack"])?;
        equal("rows", rows.iter().filter(|row| has_chain(row)).count() as u64, if some { TIMES } else { 0 })?;
    }
    Ok(())
}

fn every_form_shows_them() -> Result<()> {
    let chain = nap::STACK.join(";");
    let lines: String = nap::STACK.iter().rev().map(|name| format!("    user   {name}\n")).collect();
    let times = TIMES as usize;
    let table = beside("stack-opens", "opensnoop", &["--stack"])?;
    let text = table.text()?;
    equal(
        "header",
        text.lines().next(),
        Some("    PID COMM              FD ERROR    FLAGS                     MODE  PATH"),
    )?;
    let below_entry = format!("    kernel entry_SYSCALL_64_after_hwframe\n{lines}");
    equal("stacks beneath rows", text.matches(&below_entry).count(), times).context(text.to_owned())?;
    let csv = beside("stack-opens", "opensnoop", &["--stack", "-F", "csv"])?;
    let records = rows::csv(csv.text()?)?;
    equal("the last columns", &records[0][11..], ["user_stack", "kernel_stack"].map(String::from))?;
    let has_both =
        |record: &&Vec<String>| record[11].ends_with(&chain) && record[12].starts_with("entry_SYSCALL_64");
    equal("records with both", records.iter().filter(has_both).count(), times)?;
    // A recording shows them in the same way.
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    fs::write(&file, &beside("stack-opens", "opensnoop", &["--stack", "--json"])?.stdout)?;
    let replayed = tracer(&["replay", &file]).output()?.ok()?;
    equal("stacks beneath rows again", replayed.text()?.matches(&below_entry).count(), times)?;
    let again = tracer(&["replay", &file, "--json"]).output()?.ok()?;
    equal("rows again", again.text()?, fs::read_to_string(&file)?.as_str())
}

/// Of who calls execve(2) nothing is left when its row is made.
fn execs_have_the_callers() -> Result<()> {
    let rows = beside("stack-execs", "execsnoop", &["--json", "--stack", "-f"])?.rows()?;
    are_whole(&rows, &["do_syscall_64"])
}

/// The row is made when the call returns or in an interrupt, the stack taken where the attempt began.
fn connects_have_stacks() -> Result<()> {
    let rows = beside("stack-connects", "tcpconnect", &["--json", "--stack"])?.rows()?;
    are_whole(&rows, &["tcp_v4_connect", "__sys_connect"])
}

/// Programs are longer where they take stacks, and must pass every kernel's verifier: those of each way to find out who
/// does what.
fn programs_are_verified() -> Result<()> {
    for name in ["tcpstates", "tcpaccept", "biosnoop", "fsslower"] {
        Tool::json(name, &["--stack"]).and_then(Tool::interrupt)?.ok().context(name)?;
    }
    Ok(())
}

fn one_side_alone() -> Result<()> {
    let columns = |args: &[&str]| -> Result<Vec<String>> {
        let list = tracer(&[&["exitsnoop", "--list-columns"], args].concat()).output()?.ok()?;
        let names = list.text()?.lines().filter_map(|line| line.split_whitespace().next()).map(String::from);
        Ok(names.filter(|name| name.ends_with("_stack")).collect())
    };
    equal("columns", columns(&[])?, Vec::<String>::new())?;
    equal("columns", columns(&["--stack"])?, ["user_stack", "kernel_stack"])?;
    equal("columns", columns(&["--stack=user"])?, ["user_stack"])?;
    let run = tracer(&["exitsnoop", "--json", "--stack=kernel", "-o", "-", "--"]).arg(load::this_program()?);
    let output = run.env(EXIT_VARIABLE, "0").output()?.ok()?;
    let rows = output.rows()?;
    equal("rows", rows.len(), 1)?;
    ensure!(rows[0].get("user_stack").is_none(), "the other side too: {}", rows[0]);
    let kernel = rows[0]["kernel_stack"].as_array().context("no stack of the kernel")?;
    ensure!(kernel.contains(&json!("do_group_exit")), "not where a process ends: {}", rows[0]);
    ensure!(!output.stderr.contains(STACKS_ARE_CUT), "the kernel's are whole: {output}");
    Ok(())
}

fn rows_without_stacks_are_told() -> Result<()> {
    for args in [
        &["runqslower", "--stack"][..],
        &["tcpconnect", "--stack", "--summary"],
        &["opensnoop", "--stack=both,user"],
        &["opensnoop", "--columns", "user_stack"],
    ] {
        tracer(args).output()?.fails(2)?;
    }
    Ok(())
}
