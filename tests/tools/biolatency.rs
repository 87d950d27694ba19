//! biolatency: how long block I/O takes, on a disk that the test makes for itself.

use std::{
    fs,
    io::{Seek, Write},
    os::unix::fs::FileExt,
    time::Instant,
};

use crate::{
    harness::{
        Gate, Load, Result, Suite, Test, Tool, Value, Workload,
        disk::{self, BLOCK, Disk, page},
        ensure, equal, extra, json,
        load::count,
        rows, slow,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "biolatency",
    standard: Some(Standard {
        tool: "biolatency",
        shape: Shape::Dist,
        args: &[],
        keys: &["unit", "count", "p50", "p90", "p99", "max", "buckets"],
        table: &[],
        load: &["block-io", "101"],
        events: Events::Exactly(101),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("counts_every_request_of_a_disk", counts_every_request_of_a_disk),
        Test::new("tells_disks_apart", tells_disks_apart),
        Test::new("tells_reads_from_writes", tells_reads_from_writes),
        Test::new("includes_queue_time", includes_queue_time),
        Test::new("counts_merged_requests_once", counts_merged_requests_once),
        Test::new("measures_a_slow_disk", measures_a_slow_disk),
        Test::new("prints_milliseconds", prints_milliseconds),
        Test::new("prints_intervals", prints_intervals),
    ],
    workloads: &[
        Workload::new("block-io", block_io),
        Workload::new("block-slow", block_slow),
        Workload::new("block-merge", block_merge),
    ],
};

/// Reads and writes blocks in turn, past the cache.
fn block_io(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    let Some(disk) = disk::open(gate, libc::O_DIRECT)? else { return Ok(json!({})) };
    let page = page()?;
    // The first I/O of a new disk comes with some of the kernel's own.
    disk.file.read_exact_at(page, 0)?;
    gate.wait(&json!({ "disk": disk.name }))?;
    let before = disk.stat()?;
    let elapsed_us = read_and_write(&disk, page, times)?;
    let after = disk.stat()?;
    Ok(json!({
        "reads": after.reads - before.reads,
        "writes": after.writes - before.writes,
        "read_bytes": after.read_bytes - before.read_bytes,
        "write_bytes": after.write_bytes - before.write_bytes,
        "elapsed_us": elapsed_us,
    }))
}

/// The same on a slow disk.
fn block_slow(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let disk = Disk::over(slow::file(&gate.home()?)?, libc::O_DIRECT)?;
    let page = page()?;
    disk.file.read_exact_at(page, 0)?;
    gate.wait(&json!({ "disk": disk.name, "least_us": slow::delay().as_micros() as u64 }))?;
    let elapsed_us = read_and_write(&disk, page, count(args)?)?;
    Ok(json!({ "elapsed_us": elapsed_us }))
}

/// Reads and writes blocks in turn, and tells how long each took.
fn read_and_write(disk: &Disk, page: &mut [u8], times: u64) -> Result<Vec<u64>> {
    let mut elapsed_us = Vec::new();
    for (is_write, offset) in disk::turns(times) {
        let start = Instant::now();
        match is_write {
            true => disk.file.write_all_at(page, offset)?,
            false => disk.file.read_exact_at(page, offset)?,
        }
        elapsed_us.push(start.elapsed().as_micros() as u64);
    }
    Ok(elapsed_us)
}

/// Writes blocks side by side through the cache, so that the kernel merges them on their way.
fn block_merge(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let Some(mut disk) = disk::open(gate, 0)? else { return Ok(json!({})) };
    // Older kernels turn merging off for loop devices.
    fs::write(format!("/sys/block/{}/queue/nomerges", disk.name), "0")?;
    gate.wait(&json!({ "disk": disk.name }))?;
    let before = disk.stat()?;
    for block in 0..256_u32 {
        disk.file.rewind()?;
        let offset = u64::from(block) * BLOCK as u64;
        disk.file.write_all_at(&[block as u8; BLOCK], offset)?;
    }
    disk.file.flush()?;
    disk.file.sync_all()?;
    let after = disk.stat()?;
    Ok(json!({ "writes": after.writes - before.writes }))
}

const TIMES: u64 = 101;

/// The histograms of a run beside the workload, and its account.
fn run(load: &[&str], args: impl Fn(&str, &str) -> Vec<String>) -> Result<(Vec<Value>, Value)> {
    let mut load = Load::start(load)?;
    let args = args(rows::text(&load.setup, "disk"), &load.pid());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let tool = Tool::json("biolatency", &args)?;
    let mut account = load.finish()?;
    account["disk"] = load.setup["disk"].clone();
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows.iter().try_for_each(rows::is_histogram)?;
    Ok((rows, account))
}

/// A command line from words.
fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn counts_every_request_of_a_disk() -> Result<()> {
    let (rows, account) = run(&["block-io", "101"], |disk, _| words(&["--disk", disk]))?;
    equal("rows", rows.len(), 1)?;
    equal("unit", rows::text(&rows[0], "unit"), "us")?;
    equal("count", rows::sum(&rows, "count"), TIMES)?;
    let made = rows::number(&account, "reads") + rows::number(&account, "writes");
    equal("count of the kernel", made, TIMES)
}

fn tells_disks_apart() -> Result<()> {
    let (rows, account) = run(&["block-io", "101"], |_, _| words(&["--by-disk"]))?;
    rows::have_keys(&rows, &["disk", "unit", "count", "p50", "p90", "p99", "max", "buckets"])?;
    let own = rows::with(&rows, "disk", &account["disk"]);
    equal("rows of the disk", own.len(), 1)?;
    equal("count", rows::sum(&own, "count"), TIMES)
}

fn tells_reads_from_writes() -> Result<()> {
    let with_flags = |disk: &str, _: &str| words(&["--by-flag", "--disk", disk]);
    let (rows, account) = run(&["block-io", "101"], with_flags)?;
    let of = |word: &str| {
        let flagged = rows.iter().filter(|row| rows::text(row, "flags").contains(word));
        rows::sum(&flagged.cloned().collect::<Vec<_>>(), "count")
    };
    equal("reads", of("Read"), rows::number(&account, "reads"))?;
    equal("writes", of("Write"), rows::number(&account, "writes"))?;
    equal("both", rows::sum(&rows, "count"), TIMES)
}

fn includes_queue_time() -> Result<()> {
    let queued = |disk: &str, pid: &str| words(&["-Q", "--disk", disk, "-p", pid]);
    let (rows, _) = run(&["block-io", "101"], queued)?;
    equal("count", rows::sum(&rows, "count"), TIMES)
}

fn counts_merged_requests_once() -> Result<()> {
    for queued in [&[][..], &["-Q"]] {
        let with_flags = |disk: &str, _: &str| words(&[queued, &["--by-flag", "--disk", disk]].concat());
        let (rows, account) = run(&["block-merge"], with_flags)?;
        let is_write = |row: &&Value| rows::text(row, "flags").contains("Write");
        let writes: Vec<_> = rows.iter().filter(is_write).cloned().collect();
        let made = rows::number(&account, "writes");
        ensure!(made > 0 && made < 256, "nothing was merged: {made} writes");
        equal("writes", rows::sum(&writes, "count"), made)?;
    }
    Ok(())
}

/// The workload on a slow disk, if this kernel can have one.
pub fn start_slow(times: &str) -> Result<Load> {
    extra::file_system("fuse")?;
    Load::start(&["block-slow", times])
}

fn measures_a_slow_disk() -> Result<()> {
    let mut load = start_slow("7")?;
    let tool = Tool::json("biolatency", &["--disk", rows::text(&load.setup, "disk")])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("rows", rows.len(), 1)?;
    equal("count", rows::number(&rows[0], "count"), 7)?;
    let longest = account["elapsed_us"].as_array().into_iter().flatten().filter_map(Value::as_u64).max();
    let (least, most) = (rows::number(&load.setup, "least_us"), longest.unwrap_or(0));
    // A percentile is at most an eighth too large.
    let bounds = least..=most + most / 8;
    for mark in ["p50", "p90", "p99", "max"] {
        let value = rows::number(&rows[0], mark);
        ensure!(bounds.contains(&value), "{mark} is not within {bounds:?} us: {}", rows[0]);
    }
    Ok(())
}

fn prints_milliseconds() -> Result<()> {
    let (rows, _) = run(&["block-io", "101"], |disk, _| words(&["-m", "--disk", disk]))?;
    equal("unit", rows::text(&rows[0], "unit"), "ms")?;
    equal("count", rows::sum(&rows, "count"), TIMES)
}

fn prints_intervals() -> Result<()> {
    let mut load = Load::start(&["block-io", "101"])?;
    let disk = rows::text(&load.setup, "disk").to_owned();
    // Once the workload is gone, somebody else can have its disk.
    let tool = Tool::json("biolatency", &["-p", &load.pid(), "--disk", &disk, "1", "2"])?;
    load.finish()?;
    equal("count", rows::sum(&tool.end()?.ok()?.rows()?, "count"), TIMES)
}
