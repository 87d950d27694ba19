//! wakeuptime: how long threads sleep, and where in its code a thread is that wakes them.

use super::offwaketime::{STANDARD, wakes_seen_by};
use crate::{
    harness::{Result, Suite, Test, ensure},
    standard::Standard,
};

pub const SUITE: Suite = Suite {
    name: "wakeuptime",
    standard: Some(Standard { tool: "wakeuptime", ..STANDARD }),
    tests: &[Test::new("tells_who_wakes_whom", tells_who_wakes_whom)],
    workloads: &[],
};

fn tells_who_wakes_whom() -> Result<()> {
    let rows = wakes_seen_by("wakeuptime")?;
    let has_stack = rows.iter().any(|row| !row["user_stack"].is_null() || !row["kernel_stack"].is_null());
    ensure!(!has_stack, "a sleeper's stack, which is not wanted: {rows:?}");
    Ok(())
}
