//! tracer inside a PID namespace, where its numbers are not the kernel's, and what it sees of itself.

use std::{ffi::CString, fs};

use crate::harness::{
    Context, Gate, Load, Result, Scratch, Suite, Test, Tool, Value, Workload, bail, ensure, equal, json,
    load, rows, sys, tool, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::namespaces",
    standard: None,
    tests: &[
        Test::new("processes_of_a_pid_namespace", || inside("processes")),
        Test::new("a_command_in_a_pid_namespace", || inside("command")),
        Test::new("tracer_does_not_see_itself", sees_not_itself),
        Test::new("tracer_does_not_see_itself_in_a_pid_namespace", || inside("itself")),
    ],
    workloads: &[Workload::new("in-pid-namespace", in_pid_namespace)],
};

/// Makes a check as the first process of a new PID namespace.
fn inside(check: &str) -> Result<()> {
    let account = Load::plan(&["in-pid-namespace", check]).with_tracer()?.start()?.finish()?;
    match account["failure"].as_str() {
        None => Ok(()),
        Some(failure) => bail!("inside the namespace: {failure}"),
    }
}

fn in_pid_namespace(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let check = match args.first().map(String::as_str) {
        Some("processes") => processes,
        Some("command") => command,
        _ => sees_not_itself,
    };
    gate.wait(&json!({}))?;
    let scratch = Scratch::new()?;
    let failure = scratch.file("failure");
    sys::own_mounts()?;
    sys::call(libc::SYS_unshare, &[libc::CLONE_NEWPID as usize])
        .map_err(std::io::Error::from_raw_os_error)?;
    let child = sys::fork(|| match mount_proc().and_then(|()| check()) {
        Ok(()) => 0,
        Err(error) => {
            let _ = fs::write(&failure, format!("{error:#}"));
            1
        }
    })?;
    if sys::wait(child)? == 0 {
        return Ok(json!({}));
    }
    Ok(json!({ "failure": fs::read_to_string(&failure).unwrap_or_else(|_| "it died".to_owned()) }))
}

fn mount_proc() -> Result<()> {
    let (proc, on) = (sys::text("proc"), CString::from(c"/proc"));
    let [proc, on] = [&proc, &on].map(|text| text.as_ptr() as usize);
    sys::call(libc::SYS_mount, &[proc, on, proc, 0, 0]).map_err(std::io::Error::from_raw_os_error)?;
    Ok(())
}

/// `-p`, `-f` and `-t` mean the namespace's numbers.
fn processes() -> Result<()> {
    let mut loads = (0..2).map(|_| Load::start(&["opens", "23"])).collect::<Result<Vec<_>>>()?;
    let mut threads = Load::start(&["open-threads"])?;
    let mut tree = Load::start(&["open-late-tree"])?;
    ensure!(loads[0].id < 100, "{} is no number of a new namespace", loads[0].id);
    let tid = threads.setup["tids"][1].to_string();
    let tools = [
        (Tool::json("opensnoop", &["-p", &loads[0].pid()])?, 23),
        (Tool::json("opensnoop", &["-t", &tid])?, 1),
        (Tool::json("opensnoop", &["-f", "-p", &tree.pid()])?, 3),
    ];
    for load in loads.iter_mut().chain([&mut threads, &mut tree]) {
        load.finish()?;
    }
    for (tool, opens) in tools {
        equal("rows", tool.interrupt()?.ok()?.rows()?.len(), opens)?;
    }
    Ok(())
}

fn command() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    let run = tracer(&["opensnoop", "--json", "-o", &file, "--wait", "--"]).arg(load::this_program()?);
    run.arg(load::WORD).arg("open-tree").output()?.ok()?;
    let rows = rows::parse(&fs::read_to_string(&file)?)?;
    let opens = rows::with(&rows, "path", &"/dev/null".into());
    equal("opens of the command and its descendants", opens.len(), 3)
}

/// tracer makes system calls all the time, to read what was counted; none of them is its own business.
fn sees_not_itself() -> Result<()> {
    let scratch = Scratch::new()?;
    let name = format!("tr-{}-{}", sys::pid(), sys::tid());
    let program = scratch.program(&name, &tool::path()?)?;
    let words = ["syscount", "--json", "-n", "tr-*", "-P", "10ms", "5"];
    let rows = tracer(&words).program(&program).output()?.ok()?.rows()?;
    let own: Vec<_> = rows.iter().filter(|row| row["comm"] == *name).collect();
    ensure!(own.is_empty(), "tracer sees itself: {own:?}");
    // Asked for, it is seen: by another.
    let mut watched = tracer(&["syscount", "--json", "10ms"]).program(&program).start()?;
    let tool = Tool::json("syscount", &["-P", "-p", &watched.id().to_string()])?;
    watched.line()?;
    watched.interrupt()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let row = rows.first().context("nothing of the other tracer")?;
    equal("comm", row["comm"].as_str(), Some(&*name))
}
