//! biotop: block requests by process and disk, on disks that the test makes for itself.

use super::biolatency::start_slow;
use crate::{
    harness::{Load, Result, Suite, Test, Tool, Value, disk::BLOCK, ensure, equal, json, rows},
    standard::{Events, Shape, Standard, nothing},
};

const KEYS: &[&str] = &[
    "pid",
    "comm",
    "disk",
    "count",
    "read_bytes",
    "write_bytes",
    "bytes",
    "avg_us",
    "p50_us",
    "p90_us",
    "p99_us",
    "max_us",
];

pub const SUITE: Suite = Suite {
    name: "biotop",
    standard: Some(Standard {
        tool: "biotop",
        shape: Shape::Top,
        args: &[],
        keys: KEYS,
        table: &["pid", "comm", "disk", "count", "read_bytes", "write_bytes", "avg_us", "p99_us", "max_us"],
        load: &["block-io", "101"],
        events: Events::Exactly(101),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("counts_as_the_kernel_does", counts_as_the_kernel_does),
        Test::new("measures_a_slow_disk", measures_a_slow_disk),
        Test::new("tells_processes_and_disks_apart", tells_processes_and_disks_apart),
        Test::new("counts_merged_requests_once", counts_merged_requests_once),
        Test::new("shows_flushes_without_an_owner", shows_flushes_without_an_owner),
    ],
    workloads: &[],
};

const TIMES: u64 = 101;
/// One interval, which the test ends.
const WHOLE: &str = "1h";

/// The rows of a run beside a workload, on its disk, and the workload's account.
fn run(load: &[&str]) -> Result<(Vec<Value>, Value)> {
    let mut load = Load::start(load)?;
    let disk = rows::text(&load.setup, "disk").to_owned();
    let tool = Tool::json("biotop", &["--disk", &disk, WHOLE])?;
    let mut account = load.finish()?;
    account["disk"] = disk.into();
    Ok((tool.interrupt()?.ok()?.rows()?, account))
}

fn counts_as_the_kernel_does() -> Result<()> {
    let (rows, account) = run(&["block-io", "101"])?;
    let made = rows::number(&account, "reads") + rows::number(&account, "writes");
    equal("count of the kernel", made, TIMES)?;
    let want = json!({
        "pid": account["pid"], "comm": "tracer-tests", "disk": account["disk"], "count": TIMES,
        "read_bytes": account["read_bytes"], "write_bytes": account["write_bytes"],
        "bytes": TIMES * BLOCK as u64,
    });
    rows::are(&rows, &[want])?;
    let row = &rows[0];
    let marks = ["p50_us", "p90_us", "p99_us", "max_us"].map(|key| rows::number(row, key));
    ensure!(marks.is_sorted() && marks[0] > 0, "percentiles out of order: {row}");
    let elapsed: Vec<u64> =
        account["elapsed_us"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let (total, longest) = (elapsed.iter().sum::<u64>(), elapsed.iter().max().copied().unwrap_or(0));
    let average = rows::number(row, "avg_us");
    // A microsecond is cut off each call's time; a percentile is at most an eighth too large.
    ensure!((1..=total / TIMES + 1).contains(&average), "{average} us of {} us on average", total / TIMES);
    ensure!(marks[3] <= longest + longest / 8 + 1, "the longest call took {longest} us: {row}");
    ensure!(average <= marks[3], "on average more than the most: {row}");
    Ok(())
}

fn measures_a_slow_disk() -> Result<()> {
    let mut load = start_slow("7")?;
    let (least, disk) = (rows::number(&load.setup, "least_us"), rows::text(&load.setup, "disk"));
    let tool = Tool::json("biotop", &["--disk", disk, WHOLE])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::are(&rows, &[json!({ "pid": load.id, "count": 7 })])?;
    for key in ["avg_us", "p50_us", "p99_us"] {
        ensure!(rows::number(&rows[0], key) >= least, "{key} is less than {least}: {}", rows[0]);
    }
    Ok(())
}

fn tells_processes_and_disks_apart() -> Result<()> {
    let (mut one, mut other) = (Load::start(&["block-io", "101"])?, Load::start(&["block-io", "53"])?);
    let pids = format!("{},{}", one.pid(), other.pid());
    let tool = Tool::json("biotop", &["-p", &pids, "--sort", "count", WHOLE])?;
    let disks = [other.setup["disk"].clone(), one.setup["disk"].clone()];
    let accounts = [other.finish()?, one.finish()?];
    let rows = tool.interrupt()?.ok()?.rows()?;
    let counts = [53, TIMES];
    let want = [0, 1]
        .map(|index| json!({ "pid": accounts[index]["pid"], "disk": disks[index], "count": counts[index] }));
    rows::are(&rows, &want)
}

fn counts_merged_requests_once() -> Result<()> {
    let (rows, account) = run(&["block-merge"])?;
    let own = rows::with(&rows, "pid", &account["pid"]);
    equal("bytes written", rows::sum(&own, "write_bytes"), 256 * BLOCK as u64)?;
    equal("requests of the kernel", rows::sum(&own, "count"), rows::number(&account, "writes"))?;
    ensure!(rows::sum(&own, "count") < 256, "nothing was merged");
    Ok(())
}

fn shows_flushes_without_an_owner() -> Result<()> {
    let (rows, account) = run(&["block-flushes"])?;
    let flushes = rows::with(&rows, "pid", &Value::Null);
    let want = json!({ "comm": null, "count": account["flushes"], "bytes": 0 });
    rows::are(&flushes, &[want])?;
    let own = rows::with(&rows, "pid", &account["pid"]);
    equal("writes", rows::sum(&own, "count"), rows::number(&account, "flushes"))
}
