//! biolatency: how long block I/O takes, on a disk that the test makes for itself.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    thread,
    time::Duration,
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json, load::count,
        rows, sys,
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
        Test::new("prints_milliseconds", prints_milliseconds),
        Test::new("prints_intervals", prints_intervals),
    ],
    workloads: &[Workload::new("block-io", block_io), Workload::new("block-merge", block_merge)],
};

const DISK_SIZE: u64 = 4 << 20;
const BLOCK: usize = 4096;

/// <linux/loop.h>
const LOOP_SET_FD: usize = 0x4c00;
const LOOP_SET_STATUS64: usize = 0x4c04;
const LOOP_CTL_GET_FREE: usize = 0x4c82;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// struct loop_info64, of which only the flags are set.
#[repr(C)]
struct LoopInfo {
    before: [u32; 13],
    flags: u32,
    after: [u32; 44],
}

/// A disk over a file, which is gone once nobody has it open.
struct Disk {
    name: String,
    file: File,
}

fn ioctl(file: &File, request: usize, argument: usize) -> io::Result<usize> {
    sys::call(libc::SYS_ioctl, &[file.as_raw_fd() as usize, request, argument])
        .map_err(io::Error::from_raw_os_error)
}

impl Disk {
    fn new(flags: i32) -> Result<Self> {
        let backing = tempfile::tempfile()?;
        backing.set_len(DISK_SIZE)?;
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control");
        let control = control.context("no loop devices")?;
        // Somebody else may take the free one first.
        let mut tries = 10;
        loop {
            let name = format!("loop{}", ioctl(&control, LOOP_CTL_GET_FREE, 0)?);
            let file =
                OpenOptions::new().read(true).write(true).custom_flags(flags).open(format!("/dev/{name}"))?;
            match ioctl(&file, LOOP_SET_FD, backing.as_raw_fd() as usize) {
                Ok(_) => {}
                Err(_) if tries > 0 => {
                    tries -= 1;
                    continue;
                }
                Err(error) => return Err(error).context("setting up a loop device"),
            }
            let info = LoopInfo { before: [0; 13], flags: LO_FLAGS_AUTOCLEAR, after: [0; 44] };
            ioctl(&file, LOOP_SET_STATUS64, (&raw const info) as usize)?;
            return Ok(Self { name, file });
        }
    }

    /// Counts of (reads, writes) that the kernel has finished.
    ///
    /// It counts a flush that writes nothing as a write, though the disk sees none.
    fn stat(&self) -> Result<(u64, u64)> {
        // It counts a request a moment after it lets the waiting process go on.
        thread::sleep(Duration::from_millis(50));
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", self.name))?;
        let fields: Vec<u64> = stat.split_whitespace().flat_map(str::parse).collect();
        let (reads, writes, flushes) = (fields[0], fields[4], fields[15]);
        Ok((reads, writes - flushes))
    }
}

/// A disk that passes the cache by, or what to say where there is none.
fn disk(gate: &mut Gate, flags: i32) -> Result<Option<Disk>> {
    match Disk::new(flags) {
        Ok(disk) => Ok(Some(disk)),
        Err(error) => {
            gate.wait(&json!({ "skip": format!("no block device: {error:#}") }))?;
            Ok(None)
        }
    }
}

/// A page's worth of memory at a page's start, as direct I/O wants it.
fn page() -> Result<&'static mut [u8]> {
    let prot = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let start = sys::call(libc::SYS_mmap, &[0, BLOCK, prot, flags, usize::MAX, 0])
        .map_err(io::Error::from_raw_os_error)?;
    // SAFETY: the mapping is this long, and nobody else has it or unmaps it.
    Ok(unsafe { std::slice::from_raw_parts_mut(start as *mut u8, BLOCK) })
}

/// Reads and writes blocks in turn, past the cache.
fn block_io(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    let Some(disk) = disk(gate, libc::O_DIRECT)? else { return Ok(json!({})) };
    let page = page()?;
    // The first I/O of a new disk comes with some of the kernel's own.
    disk.file.read_exact_at(page, 0)?;
    gate.wait(&json!({ "disk": disk.name }))?;
    let before = disk.stat()?;
    for index in 0..times {
        let offset = index * 7 % (DISK_SIZE / BLOCK as u64) * BLOCK as u64;
        match index % 3 {
            0 => disk.file.write_all_at(page, offset)?,
            _ => disk.file.read_exact_at(page, offset)?,
        }
    }
    let after = disk.stat()?;
    Ok(json!({ "reads": after.0 - before.0, "writes": after.1 - before.1 }))
}

/// Writes blocks side by side through the cache, so that the kernel merges them on their way.
fn block_merge(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let Some(mut disk) = disk(gate, 0)? else { return Ok(json!({})) };
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
    Ok(json!({ "writes": after.1 - before.1 }))
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
