//! syscount: how many system calls of each kind, how many failed, and how long they took.

use std::{path::Path, thread, time::Duration};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json, rows, sys,
        tracefs, tracer,
    },
    standard::{Events, Shape, Standard, nothing},
};

const GETPPIDS: u64 = 997;
const FAILED_CLOSES: u64 = 31;

pub const SUITE: Suite = Suite {
    name: "syscount",
    standard: Some(Standard {
        tool: "syscount",
        shape: Shape::Top,
        args: &["--by-process"],
        keys: &["pid", "comm", "count", "errors"],
        table: &["pid", "comm", "count", "errors"],
        load: &["syscalls"],
        events: Events::AtLeast(GETPPIDS + FAILED_CLOSES),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("counts_calls_and_errors", counts_calls_and_errors),
        Test::new("chooses_syscalls", chooses_syscalls),
        Test::new("chooses_errors", chooses_errors),
        Test::new("measures_latency", measures_latency),
        Test::new("names_calls_as_manuals_do", names_calls_as_manuals_do),
        Test::new("sorts_by_count", sorts_by_count),
        Test::new("sorts_by_any_column", sorts_by_any_column),
        Test::new("prints_intervals", prints_intervals),
    ],
    workloads: &[
        Workload::new("syscalls", syscalls),
        Workload::new("syscalls-slow", syscalls_slow),
        Workload::new("syscalls-new", syscalls_new),
    ],
};

fn syscalls(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    for _ in 0..GETPPIDS {
        let _ = sys::call(libc::SYS_getppid, &[]);
    }
    for _ in 0..FAILED_CLOSES {
        let _ = sys::close(usize::MAX);
    }
    let _ = sys::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, c"/missing".as_ptr() as usize, 0, 0]);
    Ok(json!({}))
}

/// The rows of a run beside a workload, as they are summed up at the end.
fn summary(load: &[&str], args: &[&str]) -> Result<(Vec<Value>, Value)> {
    let mut load = Load::start(load)?;
    let pid = load.pid();
    let tool = Tool::json("syscount", &[args, &["-p", &pid]].concat())?;
    let account = load.finish()?;
    Ok((tool.interrupt()?.ok()?.rows()?, account))
}

/// The one row of a syscall.
fn of<'a>(rows: &'a [Value], syscall: &str) -> Result<&'a Value> {
    let mut found = rows.iter().filter(|row| row["syscall"] == syscall);
    let row = found.next().with_context(|| format!("no row of {syscall}: {rows:?}"))?;
    ensure!(found.next().is_none(), "{syscall} has more than one row");
    Ok(row)
}

fn expect_counts(rows: &[Value], syscall: &str, count: u64, errors: u64) -> Result<()> {
    let row = of(rows, syscall)?;
    let got = (rows::number(row, "count"), rows::number(row, "errors"));
    equal(&format!("count and errors of {syscall}"), got, (count, errors))
}

fn counts_calls_and_errors() -> Result<()> {
    let (rows, _) = summary(&["syscalls"], &[])?;
    rows::have_keys(&rows, &["syscall", "count", "errors"])?;
    expect_counts(&rows, "getppid", GETPPIDS, 0)?;
    expect_counts(&rows, "close", FAILED_CLOSES, FAILED_CLOSES)?;
    expect_counts(&rows, "openat", 1, 1)
}

fn chooses_syscalls() -> Result<()> {
    let (rows, _) = summary(&["syscalls"], &["--syscall", "getppid,close"])?;
    equal("rows", rows.len(), 2)?;
    expect_counts(&rows, "getppid", GETPPIDS, 0)?;
    expect_counts(&rows, "close", FAILED_CLOSES, FAILED_CLOSES)?;
    let (rows, _) = summary(&["syscalls"], &["--by-process", "--syscall", "getppid"])?;
    equal("rows", rows.len(), 1)?;
    equal("count", rows::number(&rows[0], "count"), GETPPIDS)
}

fn chooses_errors() -> Result<()> {
    for errno in ["EBADF", "9"] {
        let (rows, _) = summary(&["syscalls"], &["-e", errno])?;
        equal("rows", rows.len(), 1)?;
        expect_counts(&rows, "close", FAILED_CLOSES, FAILED_CLOSES)?;
    }
    let (rows, _) = summary(&["syscalls"], &["-x"])?;
    expect_counts(&rows, "close", FAILED_CLOSES, FAILED_CLOSES)?;
    expect_counts(&rows, "openat", 1, 1)?;
    ensure!(rows.iter().all(|row| row["syscall"] != "getppid"), "getppid has not failed");
    Ok(())
}

const NAPS: u64 = 13;
const NAP: Duration = Duration::from_millis(5);

/// Sleeps of known length.
fn syscalls_slow(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    (0..NAPS).for_each(|_| thread::sleep(NAP));
    Ok(json!({}))
}

fn measures_latency() -> Result<()> {
    let (rows, _) = summary(&["syscalls-slow"], &["--latency"])?;
    rows::have_keys(&rows, &["syscall", "count", "errors", "total_us", "avg_us"])?;
    let row = of(&rows, "clock_nanosleep")?;
    equal("count", rows::number(row, "count"), NAPS)?;
    let number = |key: &str| row[key].as_f64().with_context(|| format!("no {key}: {row}"));
    let (total, avg) = (number("total_us")?, number("avg_us")?);
    let nap = NAP.as_secs_f64() * 1e6;
    ensure!(avg >= nap && avg <= total, "{row}");
    ensure!((total - avg * NAPS as f64).abs() <= NAPS as f64, "total is not count times avg: {row}");
    Ok(())
}

/// Calls whose tracepoints have other names than the calls.
const RENAMED: &[(&str, libc::c_long)] = &[
    ("fstat", libc::SYS_fstat),
    ("sendfile", libc::SYS_sendfile),
    ("umount2", libc::SYS_umount2),
    ("uname", libc::SYS_uname),
];

/// Calls that came one by one since Linux 5.6, which refuse such arguments.
const NEWER: &[(&str, usize)] = &[
    ("openat2", 437),
    ("pidfd_getfd", 438),
    ("faccessat2", 439),
    ("process_madvise", 440),
    ("epoll_pwait2", 441),
    ("mount_setattr", 442),
    ("quotactl_fd", 443),
    ("landlock_restrict_self", 446),
    ("process_mrelease", 448),
    ("futex_waitv", 449),
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("statmount", 457),
    ("listmount", 458),
    ("mseal", 462),
    ("setxattrat", 463),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
];

/// Makes each call of [`NEWER`] so that it fails, the first once, the second twice and so on.
fn syscalls_new(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let mut failed = true;
    for ((_, number), times) in NEWER.iter().zip(1..) {
        for _ in 0..times {
            let bad = usize::MAX;
            failed &= sys::call(*number as libc::c_long, &[bad, bad, bad, bad, bad, bad]).is_err();
        }
    }
    for (_, number) in RENAMED {
        failed &= sys::call(*number, &[usize::MAX; 4]).is_err();
    }
    Ok(json!({ "failed": failed }))
}

fn names_calls_as_manuals_do() -> Result<()> {
    let (rows, account) = summary(&["syscalls-new"], &[])?;
    equal("all calls failed", &account["failed"], true)?;
    let is_known = |name: &str| {
        let traced = format!("events/syscalls/sys_enter_{name}");
        Path::new(tracefs::ROOT).join(traced).exists()
    };
    let known = NEWER.iter().zip(1..).filter(|((name, _), _)| is_known(name));
    let known: Vec<_> = known.map(|((name, _), times)| (*name, times)).collect();
    ensure!(known.len() >= 4, "this kernel knows only {known:?}");
    known.into_iter().try_for_each(|(name, times)| expect_counts(&rows, name, times, times))?;
    RENAMED.iter().try_for_each(|(name, _)| expect_counts(&rows, name, 1, 1))
}

fn sorts_by_count() -> Result<()> {
    let (rows, _) = summary(&["syscalls"], &[])?;
    let counts: Vec<_> = rows.iter().map(|row| rows::number(row, "count")).collect();
    ensure!(counts.is_sorted_by(|a, b| a >= b), "not from the most to the least: {counts:?}");
    let (rows, _) = summary(&["syscalls"], &["--rows", "1"])?;
    equal("rows", rows.len(), 1)?;
    expect_counts(&rows, "getppid", GETPPIDS, 0)
}

/// The counts of a run beside the workload, in the order of the rows.
fn sorted(args: &[&str]) -> Result<Vec<(String, u64)>> {
    let (rows, _) = summary(&["syscalls"], &[&["--syscall", "getppid,close,openat"], args].concat())?;
    let name = |row: &Value| (rows::text(row, "syscall").to_owned(), rows::number(row, "count"));
    Ok(rows.iter().map(name).collect())
}

fn sorts_by_any_column() -> Result<()> {
    let all = [("close", FAILED_CLOSES), ("getppid", GETPPIDS), ("openat", 1)];
    let [close, getppid, openat] = all.map(|(name, count)| (name.to_owned(), count));
    equal("by name", sorted(&["--sort", "syscall"])?, [close.clone(), getppid.clone(), openat.clone()])?;
    equal("by count", sorted(&["--sort", "count"])?, [openat.clone(), close.clone(), getppid.clone()])?;
    let by_errors = sorted(&["--sort=-errors,count", "--rows", "2"])?;
    equal("the two with the most errors", by_errors, [close, openat])?;
    let unknown = tracer(&["syscount", "--sort", "-bytes"]).output()?;
    let line = unknown.fails(2)?;
    ensure!(line.contains("bytes") && line.contains("syscall, count, errors"), "which are there: {line:?}");
    Ok(())
}

fn prints_intervals() -> Result<()> {
    let mut load = Load::start(&["syscalls"])?;
    let tool = Tool::json("syscount", &["-p", &load.pid(), "--syscall", "getppid", "1", "2"])?;
    load.finish()?;
    let rows = tool.end()?.ok()?.rows()?;
    // Each interval counts anew, so both together make the whole.
    equal("count", rows::sum(&rows, "count"), GETPPIDS)
}
