//! cachestat: reads, page faults and writes of a disk that the test makes for itself, through its cache.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    slice,
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload,
        disk::{self, BLOCK, Disk},
        ensure, equal, json,
        load::count,
        rows, sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

const KEYS: &[&str] = &["count", "hits", "misses", "dirties", "hit_pct", "buffers_mb", "cached_mb"];
const PROCESS_KEYS: &[&str] = &["pid", "comm", "count", "hits", "misses", "dirties", "hit_pct"];

pub const SUITE: Suite = Suite {
    name: "cachestat",
    standard: Some(Standard {
        tool: "cachestat",
        shape: Shape::Top,
        args: &["-P"],
        keys: PROCESS_KEYS,
        table: &["pid", "comm", "hits", "misses", "dirties", "hit_pct"],
        load: &["cache-reads", "997"],
        events: Events::Exactly(2 * 997),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("two_cold_reads_are_half_hits", two_cold_reads_are_half_hits),
        Test::new("long_reads_count_each_page_once", long_reads_count_each_page_once),
        Test::new("sees_what_sendfile_reads", sees_what_sendfile_reads),
        Test::new("writes_are_neither_hits_nor_misses", writes_are_neither),
        Test::new("sees_page_faults", sees_page_faults),
        Test::new("tells_processes_apart_as_cachetop", tells_processes_apart),
        Test::new("prints_a_line_an_interval", prints_a_line_an_interval),
    ],
    workloads: &[
        Workload::new("cache-reads", cache_reads),
        Workload::new("cache-sendfile", cache_sendfile),
        Workload::new("cache-writes", cache_writes),
        Workload::new("cache-faults", cache_faults),
    ],
};

/// <linux/fs.h>
const BLKFLSBUF: usize = 0x1261;
/// One interval, which the test ends.
const WHOLE: &str = "1h";

fn done(result: Result<usize, sys::Errno>) -> io::Result<usize> {
    result.map_err(io::Error::from_raw_os_error)
}

/// A disk of which nothing is cached, for a process that has all its own pages.
fn cold_disk(gate: &mut Gate, pages: u64) -> Result<Option<Disk>> {
    let Some(disk) = disk::open_sized(gate, pages.next_multiple_of(256) * BLOCK as u64, 0)? else {
        return Ok(None);
    };
    done(sys::call(libc::SYS_ioctl, &[disk.file.as_raw_fd() as usize, BLKFLSBUF, 0]))?;
    // Else page faults of the program itself would come on top.
    done(sys::call(libc::SYS_mlockall, &[libc::MCL_CURRENT as usize]))?;
    Ok(Some(disk))
}

/// What the kernel has counted of this process: bytes read from disks, bytes made dirty.
fn io_account() -> Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/io")?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|number| number.trim().parse().ok()).with_context(|| format!("no {name} {text}"))
    };
    Ok((field("read_bytes:")?, field("write_bytes:")?))
}

/// The account of what a deed read from the disk and made dirty, in pages.
fn account_of(deed: impl FnOnce() -> Result<()>) -> Result<Value> {
    // Who has become another user may not look at himself any more.
    done(sys::call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0]))?;
    let before = io_account()?;
    deed()?;
    let after = io_account()?;
    let pages = |bytes: u64| bytes / BLOCK as u64;
    Ok(json!({ "read": pages(after.0 - before.0), "dirtied": pages(after.1 - before.1) }))
}

/// Reads so many pages twice, so many at a time.
fn cache_reads(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let pages = count(args)?;
    let chunk = args.get(1).map_or(Ok(32), |chunk| chunk.parse::<u64>())?;
    let mut buffer = vec![0; chunk as usize * BLOCK];
    let Some(disk) = cold_disk(gate, pages)? else { return Ok(json!({})) };
    gate.wait(&json!({}))?;
    account_of(|| {
        for first in (0..pages).step_by(chunk as usize).chain((0..pages).step_by(chunk as usize)) {
            let len = chunk.min(pages - first) as usize * BLOCK;
            disk.file.read_exact_at(&mut buffer[..len], first * BLOCK as u64)?;
        }
        Ok(())
    })
}

const SENT: u64 = 509;

/// Sends so many pages to nobody, twice.
fn cache_sendfile(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let nobody = OpenOptions::new().write(true).open("/dev/null")?;
    let Some(disk) = cold_disk(gate, SENT)? else { return Ok(json!({})) };
    gate.wait(&json!({}))?;
    account_of(|| {
        for _ in 0..2 {
            send(&disk.file, &nobody, SENT as usize * BLOCK)?;
        }
        Ok(())
    })
}

/// Sends so many bytes of a file, from its beginning.
fn send(from: &File, to: &File, bytes: usize) -> Result<()> {
    let mut offset = 0_usize;
    while offset < bytes {
        let (to, from) = (to.as_raw_fd() as usize, from.as_raw_fd() as usize);
        let args = [to, from, (&raw mut offset) as usize, bytes - offset];
        ensure!(done(sys::call(libc::SYS_sendfile, &args))? > 0, "nothing is left at {offset}");
    }
    Ok(())
}

/// The one row of a run beside a workload, and the workload's account.
fn run(load: &[&str]) -> Result<(Value, Value)> {
    let mut load = Load::start(load)?;
    let tool = Tool::json("cachestat", &["-p", &load.pid(), WHOLE])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::have_keys(&rows, KEYS)?;
    equal("rows", rows.len(), 1)?;
    Ok((rows[0].clone(), account))
}

fn expect(row: &Value, want: &Value) -> Result<()> {
    rows::are(slice::from_ref(row), slice::from_ref(want))
}

fn two_cold_reads_are_half_hits() -> Result<()> {
    const PAGES: u64 = (64 << 20) / BLOCK as u64;
    let (row, account) = run(&["cache-reads", &PAGES.to_string()])?;
    // Somebody else may make the kernel drop some pages in between.
    let misses = rows::number(&account, "read");
    ensure!((PAGES..PAGES + PAGES / 50).contains(&misses), "the kernel read {misses} pages");
    let want = json!({ "count": 2 * PAGES, "hits": 2 * PAGES - misses, "misses": misses, "dirties": 0 });
    expect(&row, &want)?;
    let percent = row["hit_pct"].as_f64().context("no hit_pct")?;
    ensure!((49.0..=50.0).contains(&percent), "not half: {row}");
    Ok(())
}

fn long_reads_count_each_page_once() -> Result<()> {
    let (row, account) = run(&["cache-reads", "1021", "509"])?;
    // What is read ahead ends with the disk, not with what is wanted.
    let misses = rows::number(&account, "read");
    ensure!((1021..=1024).contains(&misses), "the kernel read {misses} pages");
    expect(&row, &json!({ "count": 2 * 1021, "misses": misses, "hits": 2 * 1021 - misses, "dirties": 0 }))
}

fn sees_what_sendfile_reads() -> Result<()> {
    let (row, account) = run(&["cache-sendfile"])?;
    let misses = rows::number(&account, "read");
    expect(&row, &json!({ "count": 2 * SENT, "misses": misses, "hits": 2 * SENT - misses, "dirties": 0 }))
}

const WRITTEN: u64 = 97;

/// Writes whole pages, writes them again, and reads them.
fn cache_writes(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let mut page = vec![1; BLOCK];
    let Some(disk) = cold_disk(gate, WRITTEN)? else { return Ok(json!({})) };
    gate.wait(&json!({}))?;
    account_of(|| {
        for _ in 0..2 {
            (0..WRITTEN).try_for_each(|index| disk.file.write_all_at(&page, index * BLOCK as u64))?;
            disk.file.sync_all()?;
        }
        (0..WRITTEN).try_for_each(|index| disk.file.read_exact_at(&mut page, index * BLOCK as u64))?;
        Ok(())
    })
}

fn writes_are_neither() -> Result<()> {
    let (row, account) = run(&["cache-writes"])?;
    equal("pages that the kernel read", rows::number(&account, "read"), 0)?;
    equal("pages that the kernel calls dirty", rows::number(&account, "dirtied"), 2 * WRITTEN)?;
    let want =
        json!({ "count": WRITTEN, "hits": WRITTEN, "misses": 0, "dirties": 2 * WRITTEN, "hit_pct": 100.0 });
    expect(&row, &want)
}

const FAULTS: u64 = 53;
const STRIDE: usize = 7;

/// Touches pages of a mapping, each for the first time and without read-ahead.
fn cache_faults(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let Some(disk) = cold_disk(gate, FAULTS * STRIDE as u64)? else { return Ok(json!({})) };
    let len = FAULTS as usize * STRIDE * BLOCK;
    let (prot, flags) = (libc::PROT_READ as usize, libc::MAP_SHARED as usize);
    let start = done(sys::call(libc::SYS_mmap, &[0, len, prot, flags, disk.file.as_raw_fd() as usize, 0]))?;
    done(sys::call(libc::SYS_madvise, &[start, len, libc::MADV_RANDOM as usize]))?;
    gate.wait(&json!({}))?;
    account_of(|| {
        for index in 0..FAULTS as usize {
            let at = (start + index * STRIDE * BLOCK) as *const u8;
            // SAFETY: inside the mapping, which stays.
            ensure!(unsafe { at.read_volatile() } == 0, "not what is on the disk");
        }
        Ok(())
    })
}

fn sees_page_faults() -> Result<()> {
    let (row, account) = run(&["cache-faults"])?;
    equal("pages that the kernel read", rows::number(&account, "read"), FAULTS)?;
    expect(&row, &json!({ "count": FAULTS, "hits": 0, "misses": FAULTS, "dirties": 0, "hit_pct": 0.0 }))
}

fn tells_processes_apart() -> Result<()> {
    let (mut reader, mut writer) = (Load::start(&["cache-reads", "509"])?, Load::start(&["cache-writes"])?);
    // All processes are seen: none is filtered out.
    let tool = Tool::json("cachetop", &["--rows", "0", WHOLE])?;
    let (reads, writes) = (reader.finish()?, writer.finish()?);
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::have_keys(&rows, PROCESS_KEYS)?;
    let misses = rows::number(&reads, "read");
    let want = json!({ "pid": reads["pid"], "comm": "tracer-tests", "count": 2 * 509, "misses": misses });
    rows::are(&rows::of_pid(&rows, reader.id), &[want])?;
    let want = json!({ "pid": writes["pid"], "count": WRITTEN, "misses": 0, "dirties": 2 * WRITTEN });
    rows::are(&rows::of_pid(&rows, writer.id), &[want])
}

fn prints_a_line_an_interval() -> Result<()> {
    let mut idle = Load::start(&["idle"])?;
    let output = Tool::text("cachestat", &["-p", &idle.pid(), "0.05", "3"])?.end()?.ok()?;
    idle.finish()?;
    let lines: Vec<Vec<&str>> =
        output.lines()?.iter().map(|line| line.split_whitespace().collect()).collect();
    equal("lines", lines.len(), 4)?;
    equal(
        "header",
        &lines[0],
        &["HITS", "MISSES", "DIRTIES", "HIT_PCT", "BUFFERS_MB", "CACHED_MB"].to_vec(),
    )?;
    for line in &lines[1..] {
        equal("counts", &line[..4], ["0", "0", "0", "-"])?;
    }
    let text = fs::read_to_string("/proc/meminfo")?;
    let cached = text.lines().find_map(|line| line.strip_prefix("Cached:")?.trim().strip_suffix("kB"));
    let (cached, shown): (u64, u64) = (cached.context("no Cached")?.trim().parse()?, lines[3][5].parse()?);
    ensure!(shown.abs_diff(cached / 1024) <= 64, "{shown} MiB cached, not {cached} kB");
    Ok(())
}
