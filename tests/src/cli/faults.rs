//! What goes wrong around a run: hostile names, a reader that stops, signals and clocks at bad times.

use std::{env, fs, thread, time::Duration};

use crate::harness::{
    Context, Gate, Load, Result, Scratch, Suite, Test, Tool, Value, Workload, bpf, deadline, ensure, equal,
    in_vm, json, rows, sys, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::faults",
    standard: None,
    tests: &[
        Test::new("no_byte_of_a_name_does_harm", no_byte_of_a_name_does_harm),
        Test::new("a_blocked_stdout_costs_events_and_no_memory", a_blocked_stdout),
        Test::new("a_signal_while_it_attaches_leaves_nothing", a_signal_while_it_attaches),
        Test::new("a_clock_set_back_changes_no_order", a_clock_set_back),
        Test::new("tracers_see_each_other_but_never_themselves", tracers_beside_tracers),
    ],
    workloads: &[Workload::new("every-byte", every_byte), Workload::new("clock-back", clock_back)],
};

/// Every byte that a name can have, in names as long as the kernel's room for one.
fn names() -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = (1..=u8::MAX).filter(|byte| *byte != b'/').collect();
    bytes.chunks(15).map(<[u8]>::to_vec).collect()
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

/// A text of JSON has bytes that are not UTF-8 as `\xHH`.
fn as_in_json(name: &[u8]) -> String {
    let chunk = |chunk: std::str::Utf8Chunk<'_>| {
        let bytes: String = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        chunk.valid().to_owned() + &bytes
    };
    name.utf8_chunks().map(chunk).collect()
}

fn no_byte_of_a_name_does_harm() -> Result<()> {
    let mut load = Load::start(&["every-byte"])?;
    let run = |words: &[&str]| tracer(&[words, &["-x", "-p", &load.pid()]].concat()).start();
    let mut tools = Vec::new();
    for (tool, column) in [("opensnoop", "path"), ("execsnoop", "args")] {
        for format in ["table", "json", "csv", "tsv"] {
            tools.push((run(&[tool, "-F", format])?, format, column));
        }
    }
    load.finish()?;
    let names = names();
    for (tool, format, column) in tools {
        let output = tool.interrupt()?.ok()?;
        let text = output.text()?;
        rows::are_harmless(text, if format == "tsv" { &['\n', '\t'] } else { &['\n'] })?;
        let records = match format {
            "json" => {
                let rows = output.rows()?;
                equal("rows", rows.len(), names.len())?;
                for (row, name) in rows.iter().zip(&names) {
                    equal("comm", rows::text(row, "comm"), as_in_json(name))?;
                    if column == "path" {
                        ensure!(rows::text(row, column).ends_with(&as_in_json(name)), "not {name:?}: {row}");
                    }
                }
                continue;
            }
            "csv" => rows::csv(text)?,
            "tsv" => rows::tsv(text),
            _ => text.lines().map(|line| vec![line.to_owned()]).collect(),
        };
        equal(&format!("lines of {format}"), records.len(), names.len() + 1)?;
        let (header, records) = records.split_first().context("no header")?;
        let Some(comm) = header.iter().position(|name| name == "comm") else { continue };
        for (record, name) in records.iter().zip(&names) {
            equal("fields", record.len(), header.len())?;
            equal("comm", &unescape(&record[comm])?, name)?;
            if column == "path" {
                let path = unescape(record.last().context("no field")?)?;
                ensure!(path.ends_with(name), "the path is {path:?}, not {name:?}");
            }
        }
    }
    Ok(())
}

/// The most memory that a process has had at once, in kilobytes.
fn peak_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak")?;
    Ok(peak.split_whitespace().next().context("no number")?.parse()?)
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
        let mut child = std::process::Command::new(crate::harness::tool::path()?)
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
