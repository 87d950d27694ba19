//! softirqs: soft interrupts, beside the kernel's own count of them.

use std::{collections::BTreeMap, fs, net::UdpSocket, thread, time::Duration};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json, load::count,
        rows, sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

const KEYS: &[&str] = &["softirq", "count", "total_us", "avg_us", "p50_us", "p90_us", "p99_us", "max_us"];

pub const SUITE: Suite = Suite {
    name: "softirqs",
    standard: Some(Standard {
        tool: "softirqs",
        shape: Shape::Top,
        args: &[],
        keys: KEYS,
        table: &["softirq", "count", "total_us", "avg_us", "p99_us", "max_us"],
        load: &["datagrams", "211"],
        // Some are handled by a thread of the kernel's, if it is at work anyway.
        events: Events::AtLeast(100),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("agrees_with_the_kernel", agrees_with_the_kernel),
        Test::new("counts_only", counts_only),
        Test::new("sees_those_of_a_process", sees_those_of_a_process),
        Test::new("prints_histograms", prints_histograms),
        Test::new("chooses_a_cpu", chooses_a_cpu),
    ],
    workloads: &[Workload::new("datagrams", datagrams)],
};

/// Sends datagrams to itself, each of which the network receives in a soft interrupt, all on the first CPU. Then it
/// waits for one that doesn't come, until a timer ends that.
fn datagrams(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    sys::pin_to(sys::cpus()?[0])?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(socket.local_addr()?)?;
    gate.wait(&json!({}))?;
    for _ in 0..times {
        socket.send(b"!")?;
        socket.recv(&mut [0])?;
    }
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    ensure!(socket.recv(&mut [0]).is_err(), "something came");
    Ok(json!({}))
}

/// How often something happened, by its name.
pub(super) type Tally = BTreeMap<String, u64>;

/// Runs a tool beside a workload. Each of its counts must be at least what the kernel counted from when
/// everything was attached to before the tool was told to stop, and at most what it counted from before
/// the tool was started to after it ended. Returns the rows.
pub(super) fn beside_the_kernel(
    words: &[&str],
    load: &[&str],
    kernel: impl Fn() -> Result<Tally>,
    name: fn(&Value) -> String,
) -> Result<Vec<Value>> {
    let mut load = Load::start(load)?;
    let earliest = kernel()?;
    let tool = Tool::json(words[0], &words[1..])?;
    let early = kernel()?;
    load.finish()?;
    let late = kernel()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let latest = kernel()?;
    let mut tally = Tally::new();
    for row in &rows {
        tally.insert(name(row), rows::number(row, "count"));
    }
    let under_way = thread::available_parallelism()?.get() as u64;
    equal("rows, each of another name", rows.len(), tally.len())?;
    ensure!(tally.keys().all(|name| latest.contains_key(name)), "a name the kernel has not: {tally:?}");
    ensure!(tally.values().any(|count| *count > 0), "nothing was counted");
    for (name, &last) in &latest {
        let at = |tally: &Tally| tally.get(name).copied().unwrap_or(0);
        // The kernel counts beginnings, the tool ends: on each CPU one may be under way.
        let least = (at(&late) - at(&early)).saturating_sub(under_way);
        let most = last - at(&earliest);
        let count = at(&tally);
        let is_right = (least..=most).contains(&count);
        ensure!(is_right, "{name}: the kernel counted {least} to {most}, the tool {count}");
    }
    Ok(rows)
}

/// The kernel's counts, on all CPUs or on one.
fn kernel_counts(cpu: Option<usize>) -> Result<Tally> {
    let text = fs::read_to_string("/proc/softirqs")?;
    let lines = text.lines().skip(1).map(|line| {
        let (name, counts) = line.split_once(':').context("no name")?;
        let counts = counts.split_whitespace().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
        let count = cpu.map_or_else(|| counts.iter().sum(), |cpu| counts.get(cpu).copied().unwrap_or(0));
        Ok((name.trim().to_lowercase(), count))
    });
    lines.collect()
}

fn name(row: &Value) -> String {
    rows::text(row, "softirq").to_owned()
}

const DATAGRAMS: &[&str] = &["datagrams", "211"];

fn agrees_with_the_kernel() -> Result<()> {
    let rows = beside_the_kernel(&["softirqs"], DATAGRAMS, || kernel_counts(None), name)?;
    rows.iter().try_for_each(agrees_with_itself)
}

/// Of spans that are counted, summed and in a histogram.
pub(super) fn agrees_with_itself(row: &Value) -> Result<()> {
    let of = |key: &str| row[key].as_f64().unwrap_or_default();
    let (count, total) = (of("count"), of("total_us"));
    let is_right = total > 0. && (of("avg_us") * count - total).abs() <= 0.001 * count;
    ensure!(is_right, "count, total and average do not agree: {row}");
    let marks = ["p50_us", "p90_us", "p99_us", "max_us"].map(of);
    ensure!(marks.is_sorted() && marks[0] > 0., "percentiles out of order: {row}");
    // Percentiles are at most an eighth too large. At least half of the spans reach the median.
    let is_right = marks[3] * count >= total && marks[3] <= total * 1.125 && marks[0] * count / 2.5 <= total;
    ensure!(is_right, "total and percentiles do not agree: {row}");
    Ok(())
}

fn counts_only() -> Result<()> {
    let rows = beside_the_kernel(&["softirqs", "-C"], DATAGRAMS, || kernel_counts(None), name)?;
    rows::have_keys(&rows, &["softirq", "count"])
}

fn chooses_a_cpu() -> Result<()> {
    let cpu = sys::cpus()?[0];
    let words = ["softirqs", "--cpu", &cpu.to_string()];
    beside_the_kernel(&words, DATAGRAMS, || kernel_counts(Some(cpu)), name).map(drop)
}

fn prints_histograms() -> Result<()> {
    let words = ["softirqs", "-D", "-N"];
    let rows = beside_the_kernel(&words, DATAGRAMS, || kernel_counts(None), name)?;
    rows::have_keys(&rows, &["softirq", "unit", "count", "p50", "p90", "p99", "max", "buckets"])?;
    for row in &rows {
        rows::is_histogram(row)?;
        equal("unit", rows::text(row, "unit"), "ns")?;
    }
    Ok(())
}

/// What a process sends to itself, it receives before its call returns.
fn sees_those_of_a_process() -> Result<()> {
    let mut load = Load::start(DATAGRAMS)?;
    let tool = Tool::json("softirqs", &["-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let received = rows::sum(&rows::with(&rows, "softirq", &"net_rx".into()), "count");
    ensure!((100..=230).contains(&received), "211 datagrams came, the tool counts {received}");
    Ok(())
}
