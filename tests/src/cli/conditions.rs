//! Conditions on rows: filters, and what rows must and must not be.

use crate::harness::{
    Context, Load, Output, Result, Scratch, Suite, Test, Tool, ensure, equal, json, load, rows, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::conditions",
    standard: None,
    tests: &[
        Test::new("a_filter_chooses_rows", a_filter_chooses_rows),
        Test::new("the_kernel_decides_what_it_can", the_kernel_decides_what_it_can),
        Test::new("a_filter_takes_the_thresholds_place", a_filter_takes_the_thresholds_place),
        Test::new("limits_are_on_rows_that_match", limits_are_on_rows_that_match),
        Test::new("a_forbidden_row_ends_the_run", a_forbidden_row_ends_the_run),
        Test::new("histograms_are_judged", histograms_are_judged),
        Test::new("a_forbidden_row_ends_a_command", a_forbidden_row_ends_a_command),
        Test::new("every_expectation_must_be_met", every_expectation_must_be_met),
        Test::new("a_commands_own_failure_wins", a_commands_own_failure_wins),
    ],
    workloads: &[],
};

/// opensnoop beside five opens of `/dev/null`.
fn beside_opens(args: &[&str]) -> Result<Output> {
    let mut load = Load::start(&["opens", "5"])?;
    let tool = Tool::json("opensnoop", &[args, &["-p", &load.pid()]].concat())?;
    load.finish()?;
    tool.interrupt()
}

fn a_filter_chooses_rows() -> Result<()> {
    for (filter, want) in [
        (r#"path == "/dev/null" && fd > 2"#, 5),
        (r#"path ~ "^/dev/n" && error == null"#, 5),
        ("path == /dev/zero || error == ENOENT", 0),
        ("!(comm == tracer-tests) || errno != 0", 0),
        ("pid > 0 && uid >= 0 && flags ~ '^O_(RD|WR)ONLY'", 5),
    ] {
        let rows = beside_opens(&["--filter", filter])?.ok()?.rows()?;
        equal(&format!("rows with {filter}"), rows.len(), want)?;
    }
    Ok(())
}

/// What another process does while nobody reads would fill the ring buffer, did it get there.
fn the_kernel_decides_what_it_can() -> Result<()> {
    let mut wanted = Load::start(&["opens", "3"])?;
    let mut other = Load::plan(&["opens", "5000"]).named("other").start()?;
    let filter = format!("(pid == {} || pid == 4000000) && fd >= 0 && comm == 'tracer-tests'", wanted.id);
    let tool = Tool::json("opensnoop", &["-v", "--strict", "--buffer", "4k", "--filter", &filter])?;
    tool.signal(libc::SIGSTOP)?;
    other.finish()?;
    wanted.finish()?;
    tool.signal(libc::SIGCONT)?;
    let output = tool.interrupt()?;
    equal("exit code", output.code, 0).context(output.to_string())?;
    let want = json!({ "pid": wanted.id, "path": "/dev/null" });
    rows::are(&output.rows()?, &[want.clone(), want.clone(), want])?;
    let told = format!("the kernel decides: pid {}, 4000000; comm \"tracer-tests\"", wanted.id);
    ensure!(output.stderr.contains(&told), "not told: {output}");
    Ok(())
}

fn a_filter_takes_the_thresholds_place() -> Result<()> {
    let run = |filter: &str| {
        let mut load = Load::start(&["file-reads", "23"])?;
        let tool = Tool::json("fileslower", &["-v", "-p", &load.pid(), "--filter", filter])?;
        load.finish()?;
        let output = tool.interrupt()?;
        equal("exit code", output.code, 0).context(output.to_string())?;
        Ok::<_, anyhow::Error>((output.rows()?.len(), output.stderr))
    };
    let (rows, told) = run("operation == read && latency_us >= 0us")?;
    equal("rows of any latency", rows, 23)?;
    ensure!(told.contains("latency of 0 ns or more"), "not told: {told}");
    let (rows, told) = run("latency_us > 1h")?;
    equal("rows of an hour", rows, 0)?;
    ensure!(told.contains("latency of 3600000000000 ns or more"), "not told: {told}");
    Ok(())
}

fn limits_are_on_rows_that_match() -> Result<()> {
    let mut load = Load::start(&["opens", "5"])?;
    let pid = load.pid();
    let opens = Tool::json("opensnoop", &["-p", &pid, "-c", "2", "--filter", "path == /dev/null"])?;
    // Both are called, and one of them at most is in the first row.
    let calls: Vec<Tool> = ["openat", "open"]
        .map(|call| {
            let filter = format!("syscall == {call}");
            Tool::json("syscount", &["-p", &pid, "--rows", "1", "--filter", &filter])
        })
        .into_iter()
        .collect::<Result<_>>()?;
    load.finish()?;
    equal("rows", opens.end()?.ok()?.rows()?.len(), 2)?;
    for (tool, call) in calls.into_iter().zip(["openat", "open"]) {
        rows::are(&tool.interrupt()?.ok()?.rows()?, &[json!({ "syscall": call })])?;
    }
    Ok(())
}

/// The one line on stderr that tells of a forbidden row.
fn is_told(output: &Output, part: &str) -> Result<()> {
    equal("exit code", output.code, 6).context(output.to_string())?;
    let line = output.stderr.strip_suffix('\n').unwrap_or_default();
    ensure!(!line.contains('\n') && line.contains(part), "not told in a line: {output}");
    Ok(())
}

fn a_forbidden_row_ends_the_run() -> Result<()> {
    let mut load = Load::start(&["opens", "5"])?;
    let forbidden = r#"path == "/dev/null""#;
    let args = ["--forbid", "fd < 0", "--forbid", forbidden, "-p", &load.pid()];
    let tool = Tool::json("opensnoop", &args)?;
    load.finish()?;
    let output = tool.end()?;
    is_told(&output, &format!("--forbid {forbidden}: pid={}", load.id))?;
    ensure!(output.stderr.contains(" path=/dev/null\n"), "no path: {output}");
    equal("rows", output.rows()?.len(), 1)?;
    let output = beside_opens(&["--forbid", "path == /dev/zero"])?.ok()?;
    equal("rows", output.rows()?.len(), 5)?;
    // What a filter leaves out is not judged.
    beside_opens(&["--forbid", "path == /dev/null", "--filter", "path != /dev/null"])?.ok()?;
    // A summary is judged when it is printed.
    let mut load = Load::start(&["opens", "5"])?;
    let args = ["-p", &load.pid(), "--rows", "1", "--forbid", "syscall == open && count > 0"];
    let tool = Tool::json("syscount", &args)?;
    load.finish()?;
    is_told(&tool.interrupt()?, "syscall=open count=")
}

/// By what they are of, and by their count and percentiles.
fn histograms_are_judged() -> Result<()> {
    let run = |conditions: &[&str]| {
        let mut load = Load::start(&["file-reads", "23"])?;
        let tool = Tool::json("fsdist", &[&["-p", &load.pid()], conditions].concat())?;
        load.finish()?;
        tool.interrupt()
    };
    let own = "operation == read && count == 23";
    let rows = run(&["--filter", "operation == read", "--expect", own])?.ok()?.rows()?;
    rows::are(&rows, &[json!({ "operation": "read", "count": 23 })])?;
    is_told(&run(&["--forbid", &format!("{own} && p99 >= 0us")])?, "operation=read count=23 p50=")?;
    is_told(&run(&["--expect", "operation == fsync || max > 1h"])?, "no row matched")
}

fn a_forbidden_row_ends_a_command() -> Result<()> {
    let scratch = Scratch::new()?;
    let args = ["opensnoop", "--forbid", "path == /dev/null", "-o", &scratch.file("rows"), "--"];
    let output = tracer(&args).arg("sh").arg("-c").arg("exec 3</dev/null; exec sleep 60").output()?;
    is_told(&output, "path=/dev/null")
}

fn every_expectation_must_be_met() -> Result<()> {
    let met = ["--expect", "path == /dev/null", "--expect", "fd > 2"];
    equal("rows", beside_opens(&met)?.ok()?.rows()?.len(), 5)?;
    let unmet = ["--expect", "error == EIO", "--expect", "path == /dev/zero"];
    let output = beside_opens(&[&met[..], &unmet].concat())?;
    is_told(&output, "no row matched --expect error == EIO, nor --expect path == /dev/zero")?;
    equal("rows", output.rows()?.len(), 5)
}

fn a_commands_own_failure_wins() -> Result<()> {
    let run = |status: &str| {
        let scratch = Scratch::new()?;
        let args = ["opensnoop", "--expect", "path == /nowhere", "-o", &scratch.file("rows"), "--"];
        let run = tracer(&args).arg(load::this_program()?).arg(load::WORD).arg("opens").arg("5");
        run.env(load::STATUS_VARIABLE, status).output()
    };
    is_told(&run("0")?, "no row matched --expect path == /nowhere")?;
    let output = run("7")?;
    equal("exit code", output.code, 7).context(output.to_string())?;
    ensure!(output.stderr.contains("no row matched"), "not told: {output}");
    Ok(())
}
