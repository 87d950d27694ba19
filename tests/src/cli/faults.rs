//! What goes wrong around a run: hostile names, a reader that stops, signals and clocks at bad times.

use std::{env, fs, path::Path, thread, time::Duration};

use crate::harness::{
    Context, Gate, Load, Result, Scratch, Suite, Test, Tool, Value, Workload, bpf, deadline, ensure, equal,
    in_vm, json, peak_memory, rows, sys, tool, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::faults",
    standard: None,
    tests: &[
        Test::new("no_byte_of_a_name_does_harm", no_byte_of_a_name_does_harm),
        Test::new("a_blocked_stdout_costs_events_and_no_memory", a_blocked_stdout),
        Test::new("a_signal_while_it_attaches_leaves_nothing", a_signal_while_it_attaches),
        Test::new("a_clock_set_back_changes_no_order", a_clock_set_back),
        Test::new("tracers_see_each_other_but_not_themselves", tracers_beside_tracers),
        Test::new("a_tracer_sees_itself_where_it_is_named", a_tracer_that_is_named),
    ],
    workloads: &[Workload::new("every-byte", every_byte), Workload::new("clock-back", clock_back)],
};

/// Names that look like what others are written as, or like nothing.
const CONFUSING: [&[u8]; 16] = [
    b"",
    b"-",
    b"\"\"",
    b" ",
    b" a  b ",
    b"\\",
    b"\\n",
    b"\\xff",
    b"\\xFF",
    b"\\\xff",
    b"\\x5c",
    b"\\x5cxff",
    b"\\x8\xff",
    b"\\u{9b}",
    b"\\u009b",
    b"null",
];

/// Every byte that a name can have, in names as long as the kernel's room for one; and confusing ones.
fn names() -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = (1..=u8::MAX).filter(|byte| *byte != b'/').collect();
    bytes.chunks(15).chain(CONFUSING).map(<[u8]>::to_vec).collect()
}

/// Bears every name, opens files of these names, and executes programs with them as arguments; none is there.
fn every_byte(gate: &mut Gate, _: &[String]) -> Result<Value> {
    env::set_current_dir(gate.home()?.path())?;
    let names: Vec<_> = names().into_iter().map(sys::text).collect();
    let missing = c"missing".as_ptr() as usize;
    gate.wait(&json!({}))?;
    for name in &names {
        let at = name.as_ptr() as usize;
        let _ = sys::call(libc::SYS_prctl, &[libc::PR_SET_NAME as usize, at]);
        let opened = sys::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, at, 0, 0]);
        equal("open", opened, Err(libc::ENOENT))?;
        let (arguments, environment) = ([at, 0], [0_usize]);
        let args = [missing, arguments.as_ptr() as usize, environment.as_ptr() as usize];
        equal("exec", sys::call(libc::SYS_execve, &args), Err(libc::ENOENT))?;
    }
    Ok(json!({}))
}

/// The bytes that an escaped text stands for, in everything but JSON.
fn unescape(text: &str) -> Result<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend(plain.bytes());
        let mut letters = escaped.chars();
        let code = match letters.next().context("nothing is escaped")? {
            'n' => "a",
            't' => "9",
            'r' => "d",
            '\\' => "5c",
            'x' => escaped.get(1..3).context("no byte")?,
            'u' => escaped.get(2..).and_then(|rest| rest.split('}').next()).context("no character")?,
            other => anyhow::bail!("an unknown escape: {other:?}"),
        };
        let number = u32::from_str_radix(code, 16)?;
        rest = match escaped.as_bytes()[0] {
            b'x' => {
                bytes.push(number as u8);
                &escaped[3..]
            }
            b'u' => {
                bytes.extend(char::from_u32(number).context("no character")?.to_string().bytes());
                &escaped[code.len() + 3..]
            }
            _ => {
                bytes.push(number as u8);
                &escaped[1..]
            }
        };
    }
    bytes.extend(rest.bytes());
    Ok(bytes)
}

/// A text of JSON has bytes that are not UTF-8 as `\xHH`, and backslashes before what looks like that as `\x5c`.
fn as_in_json(name: &[u8]) -> String {
    let codes = (0x80..=u8::MAX).chain([b'\\']).map(|code| format!("\\x{code:02x}"));
    let codes: Vec<String> = codes.collect();
    let chunk = |chunk: std::str::Utf8Chunk<'_>| {
        let valid = chunk.valid();
        let is_told_apart = |at: usize| codes.iter().any(|code| valid[at..].starts_with(code));
        let letter =
            |(at, letter): (usize, char)| if is_told_apart(at) { r"\x5c".into() } else { letter.to_string() };
        let bytes: String = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        valid.char_indices().map(letter).collect::<String>() + &bytes
    };
    name.utf8_chunks().map(chunk).collect()
}

/// In any format, live as from the recording.
fn no_byte_of_a_name_does_harm() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut load = Load::start(&["every-byte"])?;
    let run = |words: &[&str]| tracer(&[words, &["-x", "-p", &load.pid()]].concat()).start();
    let mut tools = Vec::new();
    for (tool, column) in [("opensnoop", "path"), ("execsnoop", "args")] {
        let recorder = run(&[tool, "-F", "json"])?;
        let others = ["table", "csv", "tsv"]
            .map(|format| Ok::<_, anyhow::Error>((format, run(&[tool, "-F", format])?)));
        tools.push((recorder, others, column));
    }
    load.finish()?;
    let names = names();
    for (recorder, others, column) in tools {
        let recorded = recorder.interrupt()?.ok()?;
        rows::are_harmless(recorded.text()?, &['\n'])?;
        let rows = recorded.rows()?;
        equal("rows", rows.len(), names.len())?;
        for (row, name) in rows.iter().zip(&names) {
            equal("comm", rows::text(row, "comm"), as_in_json(name))?;
            if column == "path" {
                equal("path", rows::text(row, column), as_in_json(name))?;
            }
        }
        let file = scratch.file("recorded");
        fs::write(&file, &recorded.stdout)?;
        let again = tracer(&["replay", &file, "-F", "json"]).output()?.ok()?;
        equal("JSON again", again.text()?, recorded.text()?)?;
        for other in others {
            let (format, tool) = other?;
            let live = tool.interrupt()?.ok()?;
            names_are_right(format, column == "path", live.text()?, &names)?;
            let again = tracer(&["replay", &file, "-F", format]).output()?.ok()?;
            equal(format, without_times(format, again.text()?), without_times(format, live.text()?))?;
        }
    }
    Ok(())
}

/// Lines without the time that stands first in formats for programs: each tool takes its own.
fn without_times<'a>(format: &str, text: &'a str) -> Vec<&'a str> {
    let ends: &[char] = if format == "table" { &[] } else { &[',', '\t'] };
    text.lines().map(|line| line.split_once(ends).map_or(line, |(_, rest)| rest)).collect()
}

/// There is a line for each name, which can be read from it where there are fields.
fn names_are_right(format: &str, has_path: bool, text: &str, names: &[Vec<u8>]) -> Result<()> {
    rows::are_harmless(text, if format == "tsv" { &['\n', '\t'] } else { &['\n'] })?;
    let records = match format {
        "csv" => rows::csv(text)?,
        "tsv" => rows::tsv(text),
        _ => text.lines().map(|line| vec![line.to_owned()]).collect(),
    };
    equal(&format!("lines of {format}"), records.len(), names.len() + 1)?;
    let (header, records) = records.split_first().context("no header")?;
    let Some(comm) = header.iter().position(|name| name == "comm") else { return Ok(()) };
    for (record, name) in records.iter().zip(names) {
        equal("fields", record.len(), header.len())?;
        equal("comm", &unescape(&record[comm])?, name)?;
        if has_path {
            equal("path", &unescape(record.last().context("no field")?)?, name)?;
        }
    }
    Ok(())
}

/// Nobody reads, and the run can be ended all the same.
fn a_blocked_stdout() -> Result<()> {
    /// The ring buffer's pages that were not touched before, and what was printed and not yet taken.
    const ROOM: u64 = 4 << 10;
    let mut load = Load::start(&["open-storm", "40009"])?;
    let tool = tracer(&["opensnoop", "--json", "--buffer", "64k", "-p", &load.pid()]).held().start()?;
    let before = peak_memory(tool.id())?;
    load.finish()?;
    // The kernel counts a process's pages for each CPU apart, and adds up what it has when it is asked.
    let grown = peak_memory(tool.id())?.saturating_sub(before);
    ensure!(grown < ROOM, "it grew by {grown} kB");
    tool.signal(libc::SIGINT)?;
    ensure!(sys::ended(tool.id(), deadline())?, "a signal does not end it");
    let output = tool.end()?;
    ensure!(output.lost() > 0, "nothing was lost: {output}");
    Ok(())
}

/// At any time of its start: it ends, by itself or by the signal, and the kernel keeps nothing.
fn a_signal_while_it_attaches() -> Result<()> {
    let before = bpf::programs();
    for pause in [0, 2, 5, 9, 14, 20, 30] {
        let mut child = std::process::Command::new(tool::path()?)
            .arg("biosnoop")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        thread::sleep(Duration::from_millis(pause));
        sys::kill(child.id(), libc::SIGTERM)?;
        let in_time = sys::ended(child.id(), deadline())?;
        if !in_time {
            child.kill()?;
        }
        let status = child.wait()?;
        ensure!(in_time, "it does not end after a signal at {pause} ms");
        use std::os::unix::process::ExitStatusExt;
        let is_right = status.code() == Some(0) || status.signal() == Some(libc::SIGTERM);
        ensure!(is_right, "after a signal at {pause} ms: {status}");
    }
    let left = bpf::left_since(&before)?;
    ensure!(left.is_empty(), "programs are left: {left:?}");
    Ok(())
}

/// An hour.
const BACK: i64 = 3600;

/// Opens a file before and after the clock is set back.
fn clock_back(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let open =
        || sys::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, c"/no/such".as_ptr() as usize, 0, 0]);
    let _ = open();
    set_clock(-BACK)?;
    let _ = open();
    set_clock(BACK)?;
    let _ = open();
    Ok(json!({}))
}

fn set_clock(by: i64) -> Result<()> {
    let now = sys::unix_time();
    let time = [now.as_secs() as i64 + by, i64::from(now.subsec_nanos())];
    let args = [libc::CLOCK_REALTIME as usize, time.as_ptr() as usize];
    sys::call(libc::SYS_clock_settime, &args).map_err(std::io::Error::from_raw_os_error)?;
    Ok(())
}

/// Times are the kernel's own, by the clock as it was when the run began. Only a VM's clock is set.
fn a_clock_set_back() -> Result<()> {
    if !in_vm() {
        return Ok(());
    }
    let mut load = Load::start(&["clock-back"])?;
    let tool = Tool::json("opensnoop", &["-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let times = rows::with(&rows, "path", &"/no/such".into());
    let times = times.iter().map(rows::seconds_of_day).collect::<Result<Vec<_>>>()?;
    equal("opens", times.len(), 3)?;
    let (first, last) = (times[0], times[2]);
    // Midnight may come in between.
    ensure!((last - first).rem_euclid(86400.) < 1800., "the times are {times:?}");
    ensure!((times[1] - first).rem_euclid(86400.) < 1800., "the times are {times:?}");
    Ok(())
}

/// Two see the same, each other's writes are rows where they are asked for, and nobody's own are: each would
/// make the next.
fn tracers_beside_tracers() -> Result<()> {
    let scratch = Scratch::new()?;
    let (opens, writes) = (scratch.file("opens"), scratch.file("writes"));
    let mut load = Load::start(&["opens", "23"])?;
    let first = Tool::json("opensnoop", &["-o", &opens, "-p", &load.pid()])?;
    let second = Tool::json("opensnoop", &["-p", &load.pid()])?;
    let of_first = Tool::json("fileslower", &["--min", "0", "-p", &first.id().to_string()])?;
    let of_all = Tool::json("fileslower", &["--min", "0", "-o", &writes])?;
    load.finish()?;
    let (first_pid, all_pid) = (first.id(), of_all.id());
    first.interrupt()?.ok()?;
    equal("rows of the first", rows::parse(&fs::read_to_string(&opens)?)?.len(), 23)?;
    equal("rows of the second", second.interrupt()?.ok()?.rows()?.len(), 23)?;
    let rows = of_first.interrupt()?.ok()?.rows()?;
    ensure!(!rows.is_empty(), "one tracer does not see what another one writes");
    equal("rows of others", rows::with(&rows, "pid", &first_pid.into()).len(), rows.len())?;
    of_all.interrupt()?.ok()?;
    let rows = rows::parse(&fs::read_to_string(&writes)?)?;
    ensure!(!rows::with(&rows, "pid", &first_pid.into()).is_empty(), "it does not see all: {rows:?}");
    equal("rows of itself", rows::with(&rows, "pid", &all_pid.into()).len(), 0)
}

/// A shell that becomes tracer knows its number. From the header on, each write makes the row of the next.
fn a_tracer_that_is_named() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    let script = format!("exec {} fileslower --min 0 -c 5 -o {file} -p $$", tool::path()?.display());
    let output = tracer(&["-c", &script]).program(Path::new("/bin/sh")).output()?.ok()?;
    ensure!(output.stdout.is_empty(), "rows where no rows should be: {output}");
    let text = fs::read_to_string(&file)?;
    let lines: Vec<&str> = text.lines().collect();
    equal("lines", lines.len(), 1 + 5)?;
    let is_own = |line: &&str| line.contains(" tracer ") && line.contains(" write ");
    ensure!(lines[1..].iter().all(is_own), "not all are its own: {lines:?}");
    Ok(())
}
