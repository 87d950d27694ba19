//! biosnoop: block requests of a disk that the test makes for itself.

use std::{os::unix::fs::FileExt, slice, thread};

use super::biolatency::start_slow;
use crate::{
    harness::{
        Cgroup, Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload,
        disk::{self, BLOCK, page},
        ensure, equal, json, rows,
    },
    standard::{Events, Shape, Standard, nothing},
};

const KEYS: &[&str] = &[
    "pid",
    "tid",
    "uid",
    "comm",
    "disk",
    "type",
    "flags",
    "sector",
    "bytes",
    "queued_us",
    "latency_us",
    "error",
];

pub const SUITE: Suite = Suite {
    name: "biosnoop",
    standard: Some(Standard {
        tool: "biosnoop",
        shape: Shape::Snoop,
        args: &[],
        keys: KEYS,
        table: &["pid", "comm", "disk", "type", "sector", "bytes", "latency_us", "error"],
        load: &["block-io", "101"],
        events: Events::Exactly(101),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("tells_every_request", tells_every_request),
        Test::new("tells_submitter_and_not_whom_an_end_interrupts", tells_submitter),
        Test::new("shows_merged_requests_as_one", shows_merged_requests_as_one),
        Test::new("tells_errors", tells_errors),
        Test::new("tells_flushes", tells_flushes),
        Test::new("chooses_a_cgroup", chooses_a_cgroup),
        Test::new("measures_a_slow_disk", measures_a_slow_disk),
        Test::new("shows_slow_ones_only", shows_slow_ones_only),
    ],
    workloads: &[
        Workload::new("block-threads", block_threads),
        Workload::new("block-errors", block_errors),
        Workload::new("block-flushes", block_flushes),
    ],
};

const TIMES: u64 = 101;

/// The rows of a run beside a workload, on its disk, and the workload's account.
fn run(load: &[&str], args: &[&str]) -> Result<(Vec<Value>, Value)> {
    let mut load = Load::start(load)?;
    let disk = rows::text(&load.setup, "disk").to_owned();
    let tool = Tool::json("biosnoop", &[&["--disk", &disk], args].concat())?;
    let mut account = load.finish()?;
    account["disk"] = disk.into();
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::have_keys(&rows, KEYS)?;
    Ok((rows, account))
}

/// The rows of one type.
fn of(rows: &[Value], kind: &str) -> Vec<Value> {
    rows::with(rows, "type", &kind.into())
}

fn tells_every_request() -> Result<()> {
    let (rows, account) = run(&["block-io", "101"], &["-Q"])?;
    equal("rows", rows.len() as u64, TIMES)?;
    equal("reads of the kernel", of(&rows, "Read").len() as u64, rows::number(&account, "reads"))?;
    equal("writes of the kernel", of(&rows, "Write").len() as u64, rows::number(&account, "writes"))?;
    let elapsed = account["elapsed_us"].as_array().context("no times")?;
    for ((row, (is_write, offset)), elapsed) in rows.iter().zip(disk::turns(TIMES)).zip(elapsed) {
        let want = json!({
            "pid": account["pid"], "tid": account["pid"], "comm": "tracer-tests", "uid": 0,
            "disk": account["disk"], "type": if is_write { "Write" } else { "Read" },
            "sector": offset / 512, "bytes": BLOCK, "error": null,
        });
        rows::are(slice::from_ref(row), &[want])?;
        let took = rows::number(row, "queued_us") + rows::number(row, "latency_us");
        // Both are cut to microseconds, and so is the time that holds them.
        ensure!(took <= elapsed.as_u64().unwrap_or(0), "longer than the {elapsed} us of the call: {row}");
        ensure!(rows::number(row, "latency_us") > 0, "no time at all: {row}");
    }
    Ok(())
}

const THREADS: u64 = 3;
const PER_THREAD: u64 = 37;

/// Threads that read at once: a request often ends while another thread runs.
fn block_threads(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let Some(disk) = disk::open(gate, libc::O_DIRECT)? else { return Ok(json!({})) };
    disk.file.read_exact_at(page()?, 0)?;
    gate.wait(&json!({ "disk": disk.name }))?;
    let file = &disk.file;
    let read = |first: u64| -> Result<u32> {
        let page = page()?;
        for block in 0..PER_THREAD {
            file.read_exact_at(page, (first * PER_THREAD + block) * BLOCK as u64)?;
        }
        Ok(crate::harness::sys::tid())
    };
    let tids: Vec<u32> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || read(first))).collect();
        threads.into_iter().flat_map(|thread| thread.join().ok()).collect::<Result<_>>()
    })?;
    Ok(json!({ "tids": tids }))
}

fn tells_submitter() -> Result<()> {
    let (rows, account) = run(&["block-threads"], &[])?;
    equal("rows", rows.len() as u64, THREADS * PER_THREAD)?;
    let tids = account["tids"].as_array().context("no tids")?;
    equal("threads", tids.len() as u64, THREADS)?;
    for (first, tid) in (0..).zip(tids) {
        let own = rows::with(&rows, "tid", tid);
        let mut sectors: Vec<u64> = own.iter().map(|row| rows::number(row, "sector")).collect();
        sectors.sort_unstable();
        let first = first * PER_THREAD;
        let want: Vec<u64> = (first..first + PER_THREAD).map(|block| block * BLOCK as u64 / 512).collect();
        equal("sectors of a thread", sectors, want)?;
        rows::with(&own, "pid", &account["pid"]).len().eq(&own.len()).then_some(()).context("another pid")?;
    }
    Ok(())
}

fn shows_merged_requests_as_one() -> Result<()> {
    let (rows, account) = run(&["block-merge"], &[])?;
    let writes = of(&rows, "Write");
    equal("writes of the kernel", writes.len() as u64, rows::number(&account, "writes"))?;
    ensure!(writes.len() < 256, "nothing was merged");
    equal("bytes", rows::sum(&writes, "bytes"), 256 * BLOCK as u64)?;
    let mut next = 0;
    let mut ranges: Vec<_> =
        writes.iter().map(|row| (rows::number(row, "sector"), rows::number(row, "bytes"))).collect();
    ranges.sort_unstable();
    for (sector, bytes) in ranges {
        equal("the next sector", sector, next)?;
        next = sector + bytes / 512;
    }
    Ok(())
}

const READS: u64 = 29;
const FAILED_WRITES: u64 = 13;

/// Reads, and writes that the disk refuses.
fn block_errors(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let Some(disk) = disk::open(gate, libc::O_DIRECT)? else { return Ok(json!({})) };
    let page = page()?;
    disk.file.read_exact_at(page, 0)?;
    disk.refuse_writes()?;
    gate.wait(&json!({ "disk": disk.name }))?;
    for block in 0..READS {
        disk.file.read_exact_at(page, block * BLOCK as u64)?;
    }
    let failed =
        (0..FAILED_WRITES).filter(|block| disk.file.write_all_at(page, block * BLOCK as u64).is_err());
    Ok(json!({ "failed": failed.count() }))
}

fn tells_errors() -> Result<()> {
    for (args, reads) in [(&[][..], READS), (&["-x"], 0)] {
        let (rows, account) = run(&["block-errors"], args)?;
        equal("writes that failed", rows::number(&account, "failed"), FAILED_WRITES)?;
        equal(
            "failed requests",
            rows::with(&of(&rows, "Write"), "error", &"EIO".into()).len() as u64,
            FAILED_WRITES,
        )?;
        equal("good requests", rows::with(&of(&rows, "Read"), "error", &Value::Null).len() as u64, reads)?;
        equal("rows", rows.len() as u64, FAILED_WRITES + reads)?;
    }
    Ok(())
}

const FLUSHES: u64 = 7;

/// Writes past the cache, each followed by a flush of the disk's own cache.
fn block_flushes(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let Some(disk) = disk::open(gate, libc::O_DIRECT)? else { return Ok(json!({})) };
    let page = page()?;
    disk.file.read_exact_at(page, 0)?;
    gate.wait(&json!({ "disk": disk.name }))?;
    let before = disk.stat()?;
    for block in 0..FLUSHES {
        disk.file.write_all_at(page, block * BLOCK as u64)?;
        disk.file.sync_all()?;
    }
    Ok(json!({ "flushes": disk.stat()?.flushes - before.flushes }))
}

fn tells_flushes() -> Result<()> {
    let (rows, account) = run(&["block-flushes"], &[])?;
    equal("flushes of the kernel", rows::number(&account, "flushes"), FLUSHES)?;
    let (flushes, writes) = (of(&rows, "Flush"), of(&rows, "Write"));
    equal("flushes", flushes.len() as u64, FLUSHES)?;
    equal("writes", rows::with(&writes, "pid", &account["pid"]).len() as u64, FLUSHES)?;
    for flush in flushes {
        // The kernel makes one flush of several submitters' wishes.
        let want = json!({ "pid": null, "comm": null, "bytes": 0, "queued_us": null });
        rows::are(&[flush], &[want])?;
    }
    Ok(())
}

fn chooses_a_cgroup() -> Result<()> {
    let cgroup = Cgroup::new("biosnoop")?;
    let inner = cgroup.child("inner")?;
    let (mut inside, mut outside) = (Load::start(&["block-io", "101"])?, Load::start(&["block-io", "101"])?);
    inner.add(inside.id)?;
    let tool = Tool::json("biosnoop", &["--cgroup", cgroup.arg()])?;
    outside.finish()?;
    inside.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("rows", rows.len() as u64, TIMES)?;
    equal("rows of the process inside", rows::of_pid(&rows, inside.id).len() as u64, TIMES)
}

fn measures_a_slow_disk() -> Result<()> {
    let mut load = start_slow("7")?;
    let (least, disk) = (rows::number(&load.setup, "least_us"), rows::text(&load.setup, "disk"));
    let (fast, slow) = ((least * 10).to_string() + "us", least.to_string() + "us");
    let run = |min: &str| Tool::json("biosnoop", &["--disk", disk, "--min", min]);
    let (none, all) = (run(&fast)?, run(&slow)?);
    let account = load.finish()?;
    equal("rows of much slower requests", none.interrupt()?.ok()?.rows()?.len(), 0)?;
    let rows = all.interrupt()?.ok()?.rows()?;
    equal("rows", rows.len(), 7)?;
    for (row, elapsed) in rows.iter().zip(account["elapsed_us"].as_array().context("no times")?) {
        let bounds = least..=elapsed.as_u64().unwrap_or(0);
        ensure!(bounds.contains(&rows::number(row, "latency_us")), "not within {bounds:?} us: {row}");
    }
    Ok(())
}

fn shows_slow_ones_only() -> Result<()> {
    let (rows, _) = run(&["block-io", "101"], &["--min", "1h"])?;
    equal("rows that took an hour", rows.len(), 0)?;
    let (rows, _) = run(&["block-io", "101"], &["--min", "1us"])?;
    equal("rows that took a microsecond", rows.len() as u64, TIMES)
}
