//! What is printed where, and how.

use std::{collections::BTreeSet, fs, fs::File, os::fd::OwnedFd, thread};

use super::{as_nobody, tool_names};
use crate::harness::{
    Context, Load, Output, Result, Scratch, Suite, Test, Tool, Value, ensure, equal, json, load, rows, sys,
    tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::output",
    standard: None,
    tests: &[
        Test::user("list", list),
        Test::user("list_as_json", list_as_json),
        Test::user("doctor", doctor),
        Test::new("doctor_is_right_about_each_tool", doctor_is_right_about_each_tool),
        Test::new("doctor_without_privilege", doctor_without_privilege),
        Test::user("help", help),
        Test::user("a_page_for_every_tool", a_page_for_every_tool),
        Test::user("completions", completions),
        Test::new("times", times),
        Test::new("no_header", no_header),
        Test::new("chosen_columns", chosen_columns),
        Test::user("columns_are_listed", columns_are_listed),
        Test::new("quiet_and_verbose", quiet_and_verbose),
        Test::new("a_closed_stdout", a_closed_stdout),
        Test::new("a_file", a_file),
        Test::new("a_commands_stdout_is_its_own", a_commands_stdout_is_its_own),
    ],
    workloads: &[],
};

fn list() -> Result<()> {
    let output = tracer(&["list"]).output()?.ok()?;
    let words: Vec<&str> = output.text()?.split_whitespace().collect();
    tool_names().try_for_each(|tool| {
        ensure!(words.contains(&tool), "{tool} is not listed");
        Ok(())
    })
}

/// Whether a value is a text, or holds it at any depth, or has it as a key.
fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        Value::Array(values) => values.iter().any(|value| mentions(value, text)),
        Value::Object(members) => members.iter().any(|(key, value)| key == text || mentions(value, text)),
        _ => false,
    }
}

/// JSON in one document or in lines, which names all tools.
fn names_all_tools(output: &Output) -> Result<()> {
    let values = serde_json::Deserializer::from_str(output.text()?).into_iter::<Value>();
    let values: Vec<Value> = values.collect::<Result<_, _>>()?;
    tool_names().try_for_each(|tool| {
        ensure!(values.iter().any(|value| mentions(value, tool)), "{tool} is not there");
        Ok(())
    })
}

fn list_as_json() -> Result<()> {
    names_all_tools(&tracer(&["list", "--json"]).output()?.ok()?)
}

fn doctor() -> Result<()> {
    let output = tracer(&["doctor"]).output()?.ok()?;
    let text = output.text()?;
    for word in tool_names().chain(["BTF", "tracefs", "kprobe", "cgroup"]) {
        let is_there = text.to_lowercase().contains(&word.to_lowercase());
        ensure!(is_there, "the doctor is silent about {word}");
    }
    names_all_tools(&tracer(&["doctor", "--json"]).output()?.ok()?)
}

/// What the doctor says of a tool is what happens when it runs: it uses these hooks, or ends for this reason.
fn is_right(verdict: &Value) -> Result<()> {
    let name = rows::text(verdict, "name");
    let output = tracer(&[name, "-v", "-d", "1ms"]).output()?;
    let lines: Vec<&str> = output.stderr.lines().filter_map(|line| line.strip_prefix("tracer: ")).collect();
    if verdict["runs"] == true {
        equal("exit code", output.code, 0).context(output.to_string())?;
        let hooks: Vec<&str> =
            verdict["hooks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let attached = lines.iter().find_map(|line| line.strip_prefix("attached "));
        return equal("hooks", attached, Some(hooks.join(", ").as_str()));
    }
    equal("exit code", output.code, 4).context(output.to_string())?;
    // The run knows more of each hook than the doctor, who does not try to load anything.
    let last = lines.last().context("no reason")?;
    let reasons = rows::text(verdict, "why").split("; ");
    let is_told = |reason: &&str| !reason.contains("CONFIG") || last.contains(reason);
    let untold: Vec<&str> = reasons.filter(|reason| !is_told(reason)).collect();
    ensure!(untold.is_empty(), "not told of by the run: {untold:?}, but {last:?}");
    Ok(())
}

/// All tools at once, which is no trouble either.
fn doctor_is_right_about_each_tool() -> Result<()> {
    let report: Value = serde_json::from_str(tracer(&["doctor", "--json"]).output()?.ok()?.text()?)?;
    let verdicts = report["tools"].as_array().context("no tools")?;
    let named: BTreeSet<&str> = verdicts.iter().map(|verdict| rows::text(verdict, "name")).collect();
    ensure!(tool_names().all(|tool| named.contains(tool)), "tools without a verdict: {named:?}");
    thread::scope(|scope| {
        let runs: Vec<_> = verdicts.iter().map(|verdict| scope.spawn(|| is_right(verdict))).collect();
        verdicts.iter().zip(runs).try_for_each(|(verdict, run)| {
            let result = run.join().ok().context("a panic")?;
            result.with_context(|| rows::text(verdict, "name").to_owned())
        })
    })
}

fn doctor_without_privilege() -> Result<()> {
    names_all_tools(&as_nobody(&["doctor", "--json"])?.ok()?)?;
    names_all_tools(&as_nobody(&["list", "--json"])?.ok()?)
}

fn help() -> Result<()> {
    let output = tracer(&["--help"]).output()?.ok()?;
    ensure!(output.text()?.contains("opensnoop"), "the tools are not there: {output}");
    let version = tracer(&["--version"]).output()?.ok()?;
    ensure!(version.text()?.contains("tracer"), "no version: {version}");
    let mut summaries = BTreeSet::new();
    for tool in tool_names() {
        let output = tracer(&[tool, "--help"]).output()?.ok()?;
        let text = output.text()?;
        let summary = text.lines().next().unwrap_or("").to_owned();
        ensure!(summaries.insert(summary), "{tool} --help starts like another's: {text}");
        for flag in ["--pid", "--duration", "--format", "--output", "--cgroup"] {
            ensure!(text.contains(flag), "{tool} --help is silent about {flag}");
        }
    }
    Ok(())
}

/// As text and as source for man(1), for the tools and for tracer itself; aliases have their tool's.
fn a_page_for_every_tool() -> Result<()> {
    let page = |words: &[&str]| {
        let output = tracer(&[&["help"], words].concat()).output()?.ok()?;
        Ok::<_, anyhow::Error>(output.text()?.to_owned())
    };
    for tool in tool_names() {
        let text = page(&[tool])?;
        for word in [tool, "EXAMPLES", "COLUMNS", "FLAGS", "--duration", "OVERHEAD", "CAVEATS", "EXIT CODES"]
        {
            ensure!(text.contains(word), "help {tool} has no {word}: {text}");
        }
    }
    let man = page(&["--man", "opensnoop"])?;
    ensure!(man.starts_with(".TH \"TRACER-OPENSNOOP\" 1") && man.contains("\n.SH \"CAVEATS\"\n"), "{man}");
    equal("page of an alias", page(&["ext4slower"])?, page(&["fsslower"])?)?;
    ensure!(page(&["--man"])?.starts_with(".TH \"TRACER\" 1"), "tracer has no page");
    equal("help without a tool", page(&[])?.lines().next(), Some("eBPF tracing tools in one static binary"))?;
    let wrong = tracer(&["help", "opensnop"]).output()?;
    ensure!(wrong.fails(2)?.contains("opensnoop"), "no hint: {wrong}");
    Ok(())
}

fn completions() -> Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let output = tracer(&["completions", shell]).output()?.ok()?;
        let script = output.text()?;
        for word in tool_names().chain(["ext4slower", "ready-file", "doctor"]) {
            ensure!(script.contains(word), "{shell}: {word} is not completed");
        }
    }
    tracer(&["completions", "tcsh"]).output()?.fails(2).map(drop)
}

/// The lines of opensnoop beside three opens.
fn lines(args: &[&str]) -> Result<Vec<String>> {
    let mut load = Load::start(&["opens", "3"])?;
    let pid = load.pid();
    let tool = Tool::text("opensnoop", &[args, &["-p", &pid]].concat())?;
    load.finish()?;
    let output = tool.interrupt()?.ok()?;
    Ok(output.lines()?.into_iter().map(String::from).collect())
}

/// Whether a text is as the form, where `d` stands for a digit.
fn fits(form: &str, text: &str) -> bool {
    let fits = |(form, char): (char, char)| if form == 'd' { char.is_ascii_digit() } else { form == char };
    form.len() == text.len() && form.chars().zip(text.chars()).all(fits)
}

fn times() -> Result<()> {
    type IsRight<'a> = dyn Fn(&str) -> bool + 'a;
    let is_seconds = |text: &str, from: f64, to: f64| {
        text.parse::<f64>().is_ok_and(|seconds| (from..=to).contains(&seconds))
    };
    let now = sys::unix_time().as_secs_f64();
    let wall = |text: &str| fits("dd:dd:dd.dddddd", text);
    let iso = |text: &str| {
        fits("dddd-dd-ddTdd:dd:dd.dddddd+dd:dd", text)
            || fits("dddd-dd-ddTdd:dd:dd.dddddd-dd:dd", text)
            || rows::is_time(text)
    };
    let rel = |text: &str| is_seconds(text, 0.0, 600.0);
    let unix = |text: &str| is_seconds(text, now - 600.0, now + 600.0);
    let forms: [(&str, &IsRight<'_>); 6] = [
        ("-T", &wall),
        ("--time=wall", &wall),
        ("--time=iso", &iso),
        ("--time=rel", &rel),
        ("--time=delta", &rel),
        ("-T=unix", &unix),
    ];
    for (flag, is_right) in forms {
        let lines = lines(&[flag])?;
        equal("lines", lines.len(), 4)?;
        ensure!(lines[0].trim_start().starts_with("TIME"), "{flag}: the header is {}", lines[0]);
        for line in &lines[1..] {
            let time = line.split_whitespace().next().unwrap_or("");
            ensure!(is_right(time), "{flag} gives {time:?}");
        }
    }
    Ok(())
}

fn no_header() -> Result<()> {
    for format in ["table", "csv", "tsv"] {
        let with = lines(&["-F", format])?.len();
        let without = lines(&["-F", format, "--no-header"])?.len();
        equal(&format!("lines of {format}"), (with, without), (4, 3))?;
    }
    Ok(())
}

fn chosen_columns() -> Result<()> {
    let table = lines(&["--columns", "path,pid"])?;
    let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    equal("header", words(&table[0]), vec!["PATH".to_owned(), "PID".to_owned()])?;
    ensure!(table[1..].iter().all(|line| words(line)[0] == "/dev/null"), "no path first: {table:?}");
    let table = lines(&["--columns", "+tid,-flags,-mode"])?;
    equal("header", words(&table[0]).join(" "), "PID TID COMM FD ERROR PATH".to_owned())?;
    let csv = lines(&["-F", "csv", "--columns", "comm,errno"])?;
    equal("fields", csv[0].as_str(), "ts,comm,errno")?;
    ensure!(csv[1].ends_with(",tracer-tests,0"), "the first record is {:?}", csv[1]);
    let json: Value = serde_json::from_str(&lines(&["--json", "--columns", "-path,-fd,-flags,-mode"])?[0])?;
    rows::have_keys(&[json], &["pid", "tid", "uid", "comm", "errno", "error"])
}

/// What `--list-columns` says of a tool's columns is what its rows have (see `standard`).
fn columns_are_listed() -> Result<()> {
    let output = tracer(&["opensnoop", "--list-columns"]).output()?.ok()?;
    let lines = output.lines()?;
    let line = |name: &str| lines.iter().find(|line| line.split_whitespace().next() == Some(name));
    let path = line("path").context("no path")?;
    ensure!(path.contains(" text ") && path.contains("as the caller gave it"), "{path:?}");
    ensure!(line("(tid)").is_some(), "hidden columns are not marked: {lines:?}");
    let output = tracer(&["biosnoop", "--list-columns", "--json"]).output()?.ok()?;
    let columns: Value = serde_json::from_str(output.text()?)?;
    let latency = columns["columns"].as_array().into_iter().flatten();
    let latency = latency.into_iter().find(|column| column["name"] == "latency_us");
    let want = json!({ "name": "latency_us", "type": "number", "unit": "us", "in_table": true });
    rows::are(&[latency.context("no latency_us")?.clone()], &[want])
}

fn quiet_and_verbose() -> Result<()> {
    let run = |flag: &str| {
        let mut load = Load::start(&["opens", "3"])?;
        let tool = Tool::json("opensnoop", &[flag, "-p", &load.pid()])?;
        load.finish()?;
        tool.interrupt()
    };
    equal("rows", run("-q")?.ok()?.rows()?.len(), 3)?;
    let verbose = run("-v")?;
    equal("rows", verbose.rows()?.len(), 3)?;
    equal("exit code", verbose.code, 0)?;
    let is_told = verbose.stderr.contains("sys_exit") || verbose.stderr.contains("openat");
    ensure!(is_told, "the hooks are not told: {verbose}");
    Ok(())
}

fn a_closed_stdout() -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut load = Load::start(&["opens", "3"])?;
    let run = tracer(&["opensnoop", "-p", &load.pid()]);
    let tool = run.stdout(File::from(OwnedFd::from(writer))).start()?;
    load.finish()?;
    tool.end()?.ok().map(drop)
}

fn a_file() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    fs::write(&file, "what was there before\n")?;
    let printed = lines(&["-F", "csv", "-o", &file])?;
    equal("lines on stdout", printed.len(), 0)?;
    equal("lines in the file", fs::read_to_string(&file)?.lines().count(), 4)
}

fn a_commands_stdout_is_its_own() -> Result<()> {
    let run = |args: &[&str]| {
        let run = tracer(&[&["opensnoop"], args, &["--"]].concat()).arg(load::this_program()?);
        let output = run.arg(load::WORD).arg("opens").arg("3").output()?;
        equal("exit code", output.code, 0).context(output.to_string())?;
        Ok::<_, anyhow::Error>(output)
    };
    let opens = |text: &str| text.lines().filter(|line| line.ends_with(" /dev/null")).count();
    let output = run(&[])?;
    equal("lines on stdout", output.lines()?.len(), 2)?;
    equal("rows on stderr", opens(&output.stderr), 3)?;
    let output = run(&["-o", "-"])?;
    equal("rows on stdout", opens(output.text()?), 3)?;
    ensure!(output.stderr.is_empty(), "no word on stderr was expected: {output}");
    Ok(())
}
