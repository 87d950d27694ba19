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
    let programs = rows.iter().filter(|row: &&Value| row["comm"] == "true").count();
    rows::have_keys(&rows, &["pid", "ppid", "comm"])?;
    equal("programs", programs as u64, PROGRAMS)
}
