//! fsdist: how long calls on files take. The workloads are those of fsslower.

use std::collections::BTreeMap;

use super::fsslower::{calls_on, hold_up};
use crate::{
    harness::{Load, Result, Suite, Test, Tool, Value, ensure, equal, extra, rows, tracer},
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "fsdist",
    standard: Some(Standard {
        tool: "fsdist",
        shape: Shape::Dist,
        args: &[],
        keys: &["fs", "operation", "unit", "count", "p50", "p90", "p99", "max", "buckets"],
        table: &[],
        load: &["file-reads", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("counts_every_operation", counts_every_operation),
        Test::new("counts_every_operation_on_ext4", || counts_every_operation_on("ext4")),
        Test::new("counts_every_operation_on_xfs", || counts_every_operation_on("xfs")),
        Test::new("counts_every_operation_on_btrfs", || counts_every_operation_on("btrfs")),
        Test::new("tells_file_systems_apart", tells_file_systems_apart),
        Test::new("measures_latency", measures_latency),
        Test::new("measures_a_slow_file_system", measures_a_slow_file_system),
        Test::new("prints_intervals", prints_intervals),
        Test::new("refuses_other_operations", refuses_other_operations),
    ],
    workloads: &[],
};

/// The counts by file system and operation.
fn counts(rows: &[Value]) -> Result<BTreeMap<(String, String), u64>> {
    let mut counts = BTreeMap::new();
    for row in rows {
        rows::is_histogram(row)?;
        let key = (rows::text(row, "fs").to_owned(), rows::text(row, "operation").to_owned());
        let other = counts.insert(key, rows::number(row, "count"));
        ensure!(other.is_none(), "two histograms of the same: {row}");
    }
    Ok(counts)
}

/// The counts that a workload's account makes.
fn wanted(account: &Value) -> Result<BTreeMap<(String, String), u64>> {
    let mut want = BTreeMap::new();
    for row in rows::wanted(account)? {
        let key = (rows::text(row, "fs").to_owned(), rows::text(row, "operation").to_owned());
        want.entry(key.clone()).and_modify(|count| *count += 1).or_insert(1);
        want.insert((key.0, "fstat".to_owned()), rows::number(account, "fstats"));
    }
    Ok(want)
}

/// By the name of a file system's alias.
fn counts_every_operation_on(fs: &str) -> Result<()> {
    let mut load = calls_on(fs)?;
    let tool = Tool::json(&format!("{fs}dist"), &["-p", &load.pid()])?;
    let account = load.finish()?;
    let want = wanted(&account)?;
    ensure!(want.keys().all(|(on, _)| on == fs), "the workload was on another file system");
    equal("counts", counts(&tool.interrupt()?.ok()?.rows()?)?, want)
}

fn counts_every_operation() -> Result<()> {
    let mut load = Load::start(&["file-calls"])?;
    let tool = Tool::json("fsdist", &["-p", &load.pid()])?;
    let fsyncs = Tool::json("fsdist", &["--op", "fsync", "-m", "-p", &load.pid()])?;
    let account = load.finish()?;
    equal("counts", counts(&tool.interrupt()?.ok()?.rows()?)?, wanted(&account)?)?;
    let rows = fsyncs.interrupt()?.ok()?.rows()?;
    equal("rows of fsync", rows.len(), 1)?;
    equal("unit", rows::text(&rows[0], "unit"), "ms")?;
    equal("fsyncs", rows::number(&rows[0], "count"), 2)
}

fn tells_file_systems_apart() -> Result<()> {
    let mut load = Load::start(&["file-systems"])?;
    let all = Tool::json("fsdist", &["-p", &load.pid()])?;
    let proc = Tool::json("fsdist", &["--fs", "proc", "-p", &load.pid()])?;
    let fs = rows::text(&load.setup, "fs").to_owned();
    load.finish()?;
    let reads = (("proc".to_owned(), "read".to_owned()), 11);
    let fsyncs = ((fs, "fsync".to_owned()), 7);
    equal("counts", counts(&all.interrupt()?.ok()?.rows()?)?, BTreeMap::from([reads.clone(), fsyncs]))?;
    equal("counts of proc", counts(&proc.interrupt()?.ok()?.rows()?)?, BTreeMap::from([reads]))
}

fn measures_latency() -> Result<()> {
    let mut load = Load::start(&["file-slow-open"])?;
    let tool = Tool::json("fsdist", &["--op", "open", "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("opens", rows::sum(&rows, "count"), 1)?;
    // The upper bound of a slot, which is an eighth wide at most.
    let took = rows::number(&account, "took_us");
    let bounds = hold_up().as_micros() as u64..=took + took / 8;
    let max = rows::number(&rows[0], "max");
    ensure!(bounds.contains(&max), "{max} us are not in {bounds:?}");
    Ok(())
}

fn measures_a_slow_file_system() -> Result<()> {
    extra::file_system("fuse")?;
    let mut load = Load::start(&["file-slow-calls"])?;
    let least = rows::number(&load.setup, "least_us");
    let tool = Tool::json("fusedist", &["-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let times =
        [("read", 2), ("write", 1), ("fsync", 1)].map(|(name, count)| (("fuse".into(), name.into()), count));
    equal("counts", counts(&rows)?, BTreeMap::from(times))?;
    for row in rows {
        ensure!(rows::number(&row, "p50") >= least, "less than {least} us: {row}");
    }
    Ok(())
}

fn prints_intervals() -> Result<()> {
    let mut load = Load::start(&["file-reads", "29"])?;
    let tool = Tool::json("fsdist", &["-p", &load.pid(), "1", "2"])?;
    load.finish()?;
    equal("reads", rows::sum(&tool.end()?.ok()?.rows()?, "count"), 29)
}

fn refuses_other_operations() -> Result<()> {
    let line = tracer(&["fsdist", "--op", "splice"]).output()?.fails(2)?.to_owned();
    ensure!(line.contains("splice") && line.contains("fstat"), "the reason is {line:?}");
    Ok(())
}
