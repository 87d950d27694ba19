//! fileslower: reads and writes that took long, of files and of what else can be read.

use std::{
    fs,
    io::pipe,
    os::fd::AsRawFd,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::fsslower::{done, hold_up, seen_of_32_bit_calls, sees_slow_calls};
use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, by_machine, ensure, equal, json,
        load, rows, sys, tracefs, tracer,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "fileslower",
    standard: Some(Standard {
        tool: "fileslower",
        shape: Shape::Snoop,
        args: &["--min", "0"],
        keys: &[
            "pid",
            "tid",
            "uid",
            "comm",
            "fs",
            "operation",
            "bytes",
            "offset",
            "latency_us",
            "error",
            "file",
        ],
        table: &["pid", "tid", "comm", "fs", "operation", "bytes", "offset", "latency_us", "error", "file"],
        load: &["file-reads", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_reads_and_writes_only", sees_reads_and_writes_only),
        Test::new("sees_calls_of_32_bit_programs", sees_calls_of_32_bit_programs),
        Test::new("measures_a_slow_file_system", || sees_slow_calls("fileslower", &["read", "write"])),
        Test::new("sees_a_slow_read_of_a_file", sees_a_slow_read_of_a_file),
        Test::new("sees_a_slow_read_of_a_pipe_on_demand", sees_a_slow_read_of_a_pipe_on_demand),
        Test::new("has_a_threshold_of_10_ms", has_a_threshold_of_10_ms),
    ],
    workloads: &[
        Workload::new("file-slow-read", slow_read_of_file),
        Workload::new("pipe-slow-read", slow_read_of_pipe),
    ],
};

fn sees_reads_and_writes_only() -> Result<()> {
    let mut load = Load::start(&["file-calls"])?;
    let tool = Tool::json("fileslower", &["--min", "0", "-p", &load.pid()])?;
    let writes = Tool::json("fileslower", &["--min", "0", "--op", "write", "-p", &load.pid()])?;
    let account = load.finish()?;
    let of = |operations: &[&str]| -> Result<Vec<Value>> {
        let is_one = |row: &&Value| operations.contains(&rows::text(row, "operation"));
        Ok(rows::wanted(&account)?.iter().filter(is_one).cloned().collect())
    };
    rows::are(&tool.interrupt()?.ok()?.rows()?, &of(&["read", "write"])?)?;
    rows::are(&writes.interrupt()?.ok()?.rows()?, &of(&["write"])?)
}

fn sees_calls_of_32_bit_programs() -> Result<()> {
    let (rows, mut wanted) = seen_of_32_bit_calls("fileslower", &["--min", "0"])?;
    wanted.retain(|row| row["operation"] != "fsync");
    rows::are(&rows, &wanted)
}

/// Calls `read` in a thread of its own, and `give` some time later; says which thread it was, and
/// how long it took.
fn slow_read(
    read: impl FnOnce() -> Result<usize> + Send + 'static,
    give: impl FnOnce() -> Result<()>,
) -> Result<Value> {
    let reader = thread::spawn(move || {
        let start = Instant::now();
        let bytes = read()?;
        Ok::<_, anyhow::Error>((sys::tid(), bytes, start.elapsed()))
    });
    load::until_others_sleep()?;
    thread::sleep(hold_up() + Duration::from_millis(by_machine(20, 300)));
    give()?;
    let Ok(read) = reader.join() else { anyhow::bail!("the reader has panicked") };
    let (tid, bytes, took) = read?;
    Ok(json!({ "tid": tid, "bytes": bytes, "took_us": took.as_micros() as u64 }))
}

/// A trace buffer of its own, whose pipe is a file that waits; dropping it removes it.
struct Instance(PathBuf);

impl Instance {
    fn new() -> Result<Self> {
        let path = PathBuf::from(format!("{}/instances/tracer-tests-{}", tracefs::ROOT, sys::pid()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn slow_read_of_file(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let instance = Instance::new()?;
    let path = instance.0.join("trace_pipe");
    let (file, marker) = (fs::File::open(&path)?, instance.0.join("trace_marker"));
    gate.wait(&json!({}))?;
    let read = move || {
        let mut buffer = [0_u8; 512];
        done(sys::call(libc::SYS_read, &[file.as_raw_fd() as usize, buffer.as_mut_ptr() as usize, 512]))
    };
    let mut account = slow_read(read, || Ok(fs::write(marker, "go on")?))?;
    account["file"] = path.to_str().into();
    Ok(account)
}

fn slow_read_of_pipe(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (from, into) = pipe()?;
    gate.wait(&json!({}))?;
    let read = move || {
        let mut buffer = [0_u8; 64];
        done(sys::call(libc::SYS_read, &[from.as_raw_fd() as usize, buffer.as_mut_ptr() as usize, 64]))
    };
    slow_read(read, || {
        let args = [into.as_raw_fd() as usize, c"x".as_ptr() as usize, 1];
        done(sys::call(libc::SYS_write, &args)).map(drop)
    })
}

/// The rows of a run beside a workload, which are of what took as long as that says, and its account.
fn run(load: &str, args: &[&str]) -> Result<(Vec<Value>, Value)> {
    let mut load = Load::start(&[load])?;
    let tool = Tool::json(
        "fileslower",
        &[&["--min", by_machine("20ms", "300ms"), "-p", &load.pid()], args].concat(),
    )?;
    let account = load.finish()?;
    Ok((tool.interrupt()?.ok()?.rows()?, account))
}

fn is_slow_read(row: &Value, account: &Value) -> Result<()> {
    equal("operation", rows::text(row, "operation"), "read")?;
    equal("thread", &row["tid"], &account["tid"])?;
    ensure!(
        row["pid"] == account["pid"] && row["tid"] != row["pid"],
        "not that process's second thread: {row}"
    );
    equal("bytes", &row["bytes"], &account["bytes"])?;
    let (latency, took) = (rows::number(row, "latency_us"), rows::number(account, "took_us"));
    ensure!((hold_up().as_micros() as u64..=took).contains(&latency), "{latency} us are not up to {took}");
    Ok(())
}

fn sees_a_slow_read_of_a_file() -> Result<()> {
    let (rows, account) = run("file-slow-read", &[])?;
    equal("rows", rows.len(), 1).with_context(|| format!("{rows:?}"))?;
    is_slow_read(&rows[0], &account)?;
    equal("file", &rows[0]["file"], &account["file"])?;
    equal("fs", rows::text(&rows[0], "fs"), "tracefs")
}

fn sees_a_slow_read_of_a_pipe_on_demand() -> Result<()> {
    let (rows, _) = run("pipe-slow-read", &[])?;
    equal("rows without --all", rows.len(), 0)?;
    let (rows, account) = run("pipe-slow-read", &["--all"])?;
    // The wait at the gate began before the tool.
    equal("rows", rows.len(), 1).with_context(|| format!("{rows:?}"))?;
    is_slow_read(&rows[0], &account)?;
    equal("file", rows::text(&rows[0], "file"), "pipe")?;
    equal("offset", &rows[0]["offset"], &Value::Null)
}

fn has_a_threshold_of_10_ms() -> Result<()> {
    let mut load = Load::start(&["file-reads", "7"])?;
    let slow = Tool::json("fileslower", &["--min", "1h", "-p", &load.pid()])?;
    load.finish()?;
    equal("rows of an hour", slow.interrupt()?.ok()?.rows()?.len(), 0)?;
    let (mut load, args) = (Load::start(&["pipe-slow-read"])?, ["fileslower", "--json", "--all", "-p"]);
    let tool = tracer(&args).arg(load.pid()).start()?;
    let account = load.finish()?;
    // Where all is slow, others may be there too.
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("rows of the reader", rows::with(&rows, "tid", &account["tid"]).len(), 1)
}
