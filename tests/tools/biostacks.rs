//! biostacks: block I/O by stack, on a disk that the test makes for itself.

use crate::{
    harness::{Context, Load, Result, Suite, Test, Tool, Value, ensure, equal, json, rows},
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "biostacks",
    standard: Some(Standard {
        tool: "biostacks",
        shape: Shape::Stack,
        args: &[],
        keys: &["pid", "tid", "comm", "user_stack", "kernel_stack", "count", "latency_us"],
        table: &[],
        load: &["block-io", "101"],
        events: Events::AtLeast(101),
        of_children: false,
        needs: nothing,
    }),
    tests: &[Test::new("tells_who_submitted_requests", tells_who_submitted_requests)],
    workloads: &[],
};

fn tells_who_submitted_requests() -> Result<()> {
    let mut load = Load::start(&["block-io", "101"])?;
    let disk = rows::text(&load.setup, "disk").to_owned();
    let tool = Tool::json("biostacks", &["-K", "--disk", &disk, "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("requests", rows::sum(&rows, "count"), 101)?;
    // What leads from the tracepoint to tracer's own program is left out.
    for row in &rows {
        let stack = row["kernel_stack"].as_array().context("no stack")?;
        let innermost = stack.last().and_then(Value::as_str).unwrap_or_default();
        ensure!(innermost.starts_with("blk_"), "a request is made in {innermost}: {row}");
    }
    // One in three is a write.
    let through = |function: &str| {
        let is_its = |row: &&Value| {
            row["kernel_stack"].as_array().is_some_and(|stack| stack.contains(&json!(function)))
        };
        rows::sum(&rows.iter().filter(is_its).cloned().collect::<Vec<_>>(), "count")
    };
    equal("writes", through("vfs_write"), rows::number(&account, "writes"))?;
    equal("reads", through("vfs_read"), rows::number(&account, "reads"))?;
    // The workload cannot have waited shorter than its requests took.
    let elapsed: u64 = account["elapsed_us"].as_array().into_iter().flatten().filter_map(Value::as_u64).sum();
    let latency = rows::sum(&rows, "latency_us");
    ensure!(latency > 0 && latency <= elapsed + 101, "{latency} us, where the workload waited {elapsed}");
    Ok(())
}
