//! Recordings: what a run has written as JSON, printed again.

use std::fs;

use crate::harness::{Load, Result, Scratch, Suite, Test, Tool, ensure, equal, load, tracer};

pub const SUITE: Suite = Suite {
    name: "cli::replay",
    standard: None,
    tests: &[
        Test::new("rows_are_the_same_again", rows_are_the_same_again),
        Test::new("summaries_are_the_same_again", summaries_are_the_same_again),
        Test::user("rows_are_chosen_and_sorted", rows_are_chosen_and_sorted),
        Test::user("what_is_no_recording_is_told", what_is_no_recording_is_told),
    ],
    workloads: &[],
};

fn rows_are_the_same_again() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("opens");
    let mut load = Load::start(&["opens", "5"])?;
    let tool = Tool::json("opensnoop", &["-o", &file, "-p", &load.pid()])?;
    load.finish()?;
    tool.interrupt()?.ok()?;
    let recorded = fs::read_to_string(&file)?;
    equal("rows", recorded.lines().count(), 5)?;
    let replayed = tracer(&["replay", &file, "--json"]).output()?.ok()?;
    equal("rows again", replayed.text()?, recorded.as_str())?;
    // The table has the columns of the tool, and its widths.
    let table = tracer(&["replay", &file]).output()?.ok()?;
    let header = table.lines()?[0];
    equal("header", header, "    PID COMM              FD ERROR    FLAGS                     MODE  PATH")?;
    equal("lines", table.lines()?.len(), 6)
}

/// Tables' numbers, histograms and stacks too.
fn summaries_are_the_same_again() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    let record = |tool: &str, part: &str| -> Result<()> {
        // A processor that has something to do, whose rows there are then.
        let run = tracer(&[tool, "--json", "-o", &file, "--"]).arg(load::this_program()?);
        run.arg(load::WORD).arg("open-storm").arg("40009").output()?.ok()?;
        let recorded = fs::read_to_string(&file)?;
        ensure!(recorded.contains(part), "nothing to replay: {recorded}");
        let replayed = tracer(&["replay", &file, "--json"]).output()?.ok()?;
        equal(tool, replayed.text()?, recorded.as_str())
    };
    record("profile", "\"kernel_stack\":[")?;
    record("syscount", "\"syscall\":")?;
    record("runqlat", "\"buckets\":[")?;
    // Histograms have no rows.
    for flags in [&["--sort", "count"][..], &["-c", "1"], &["--rows", "1"], &["--columns", "count"]] {
        tracer(&[&["replay", &file], flags].concat()).output()?.fails(2)?;
    }
    equal("exit code", tracer(&["replay", &file, "--forbid", "max >= 0"]).output()?.code, 6)?;
    let none = tracer(&["replay", &file, "--filter", "count == 0"]).output()?.ok()?;
    ensure!(!none.text()?.contains("distribution"), "not left out: {none}");
    let table = tracer(&["replay", &file]).output()?.ok()?;
    ensure!(table.text()?.contains("distribution"), "no histogram: {table}");
    Ok(())
}

/// Three rows of a tool that is not known.
const RECORDING: &str = concat!(
    r#"{"ts":"2026-01-02T15:04:05.000001Z","name":"b","took_us":1500.25,"size_bytes":4096,"well":true}"#,
    "\n",
    r#"{"ts":"2026-01-02T15:04:05.000002Z","name":"a","took_us":2000.50,"size_bytes":null,"well":false}"#,
    "\n",
    r#"{"ts":"2026-01-02T15:04:06.000001Z","name":"a\nx","took_us":0.75,"size_bytes":1,"well":false}"#,
    "\n",
);

fn rows_are_chosen_and_sorted() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    fs::write(&file, RECORDING)?;
    let csv = |args: &[&str]| -> Result<String> {
        let output = tracer(&[&["replay", &file, "-F", "csv", "--columns", "name,took_us"], args].concat());
        Ok(output.output()?.ok()?.text()?.replace("2026-01-02T15:04:0", ""))
    };
    let all = "ts,name,took_us\n5.000001Z,b,1500.25\n5.000002Z,a,2000.50\n6.000001Z,a\\nx,0.75\n";
    equal("all", csv(&[])?, all)?;
    let sorted = "ts,name,took_us\n6.000001Z,a\\nx,0.75\n5.000001Z,b,1500.25\n";
    equal("sorted", csv(&["--sort", "took_us", "--rows", "2"])?, sorted)?;
    let chosen = "ts,name,took_us\n5.000001Z,b,1500.25\n";
    equal("chosen", csv(&["--filter", "took_us > 1ms && size_bytes >= 4k && well"])?, chosen)?;
    equal("first", csv(&["-c", "1", "--no-header"])?, "5.000001Z,b,1500.25\n")?;
    let table = tracer(&["replay", &file, "--time=rel", "--columns", "name"]).output()?.ok()?;
    let cells: Vec<&str> = table.text()?.split_whitespace().collect();
    equal("cells", cells, ["TIME", "NAME", "0.000000", "b", "0.000001", "a", "1.000000", r"a\nx"])?;
    let unmet = tracer(&["replay", &file, "-F", "csv", "--expect", "name == c"]).output()?;
    equal("exit code", unmet.code, 6)?;
    let forbidden = tracer(&["replay", &file, "-F", "csv", "--forbid", "name == a"]).output()?;
    equal("lines before the forbidden row's end", (forbidden.code, forbidden.lines()?.len()), (6, 3))?;
    let beyond =
        tracer(&["replay", &file, "-F", "csv", "--rows", "1", "--forbid", "took_us < 1"]).output()?;
    equal("a forbidden row beyond --rows", (beyond.code, beyond.lines()?.len()), (6, 2))
}

fn what_is_no_recording_is_told() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    tracer(&["replay", &file]).output()?.fails(1)?;
    tracer(&["replay"]).output()?.fails(2)?;
    fs::write(&file, "    PID COMM\n      1 init\n")?;
    let output = tracer(&["replay", &file]).output()?;
    ensure!(output.fails(1)?.contains("line 1: this is no row"), "not told: {output}");
    // What was recorded before the disk was full is printed.
    fs::write(&file, &RECORDING[..RECORDING.len() - 9])?;
    let output = tracer(&["replay", &file, "--json"]).output()?;
    equal("exit code and rows", (output.code, output.lines()?.len()), (1, 2))?;
    ensure!(output.stderr.contains("line 3"), "not told: {output}");
    fs::write(&file, [RECORDING.as_bytes(), b"\xff\n", RECORDING.as_bytes()].concat())?;
    let output = tracer(&["replay", &file, "--json"]).output()?;
    equal("exit code and rows", (output.code, output.lines()?.len()), (1, 3))?;
    // Of nothing, nobody knows the columns; what was expected was not there.
    fs::write(&file, "")?;
    tracer(&["replay", &file, "--forbid", "pid == 1"]).output()?.ok()?;
    equal("exit code", tracer(&["replay", &file, "--expect", "pid == 1"]).output()?.code, 6)
}
