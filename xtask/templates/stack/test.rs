//! @name@: processes that a shell starts.

use crate::harness::{Context, Result, Suite, Test, Value, equal, rows, tracer};

/// Processes that the script starts.
const STARTS: u64 = 23;

pub const SUITE: Suite = Suite {
    name: "@name@",
    standard: None,
    tests: &[Test::new("sees_every_start", sees_every_start)],
    workloads: &[],
};

fn sees_every_start() -> Result<()> {
    // The last command may run in the shell itself.
    let script = "(:); ".repeat(STARTS as usize) + ":";
    let words = ["@name@", "--json", "-o", "-", "--", "sh", "-c", &script];
    let output = tracer(&words).output()?.ok()?;
    let rows = output.rows().context(output.to_string())?;
    rows::have_keys(&rows, &["pid", "tid", "comm", "user_stack", "kernel_stack", "count"])?;
    let starts = rows.iter().filter_map(|row: &Value| row["count"].as_u64()).sum::<u64>();
    equal("starts", starts, STARTS)
}
