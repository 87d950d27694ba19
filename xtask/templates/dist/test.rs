//! @name@: programs that a command executes.

use crate::harness::{Context, Result, Suite, Test, Value, equal, rows, tracer};

/// Programs that the script executes.
const PROGRAMS: u64 = 23;

pub const SUITE: Suite = Suite {
    name: "@name@",
    standard: None,
    tests: &[Test::new("sees_every_program", sees_every_program)],
    workloads: &[],
};

fn sees_every_program() -> Result<()> {
    let script = "/bin/true; ".repeat(PROGRAMS as usize);
    let words = ["@name@", "--json", "-o", "-", "--", "sh", "-c", &script];
    let output = tracer(&words).output()?.ok()?;
    let rows = output.rows().context(output.to_string())?;
    rows::have_keys(&rows, &["unit", "count", "p50", "p90", "p99", "max", "buckets"])?;
    let programs = rows.iter().filter_map(|row: &Value| row["count"].as_u64()).sum::<u64>();
    // Not the shell's own: it was forked before tracing began.
    equal("programs", programs, PROGRAMS)
}
