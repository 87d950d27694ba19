//! offwaketime: how long threads are without a CPU, where in their code, and what wakes them.

use std::{thread, time::Duration};

use crate::{
    harness::{
        Context as _, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal,
        frames::{Deed, nap, wake},
        json, load, rows, sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

/// How often a thread is woken, and after how long.
const WAKES: u64 = 7;
const SLEEP: Duration = Duration::from_millis(3);

/// Of tools that tell of wakers too.
pub const STANDARD: Standard = Standard {
    tool: "offwaketime",
    shape: Shape::Stack,
    args: &[],
    keys: &[
        "pid",
        "tid",
        "comm",
        "user_stack",
        "kernel_stack",
        "waker_pid",
        "waker_tid",
        "waker_comm",
        "waker_user_stack",
        "waker_kernel_stack",
        "count",
        "total_us",
    ],
    table: &[],
    load: &["woken", "3"],
    events: Events::AtLeast(3),
    of_children: false,
    needs: nothing,
};

pub const SUITE: Suite = Suite {
    name: "offwaketime",
    standard: Some(STANDARD),
    tests: &[Test::new("tells_who_wakes_whom", tells_who_wakes_whom)],
    workloads: &[Workload::new("woken", woken)],
};

/// A thread waits for bytes in a pipe, and this one writes them.
fn woken(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let wakes = load::count(args)?;
    let mut pipe = [0_i32; 2];
    sys::call(libc::SYS_pipe2, &[pipe.as_mut_ptr() as usize, 0])
        .map_err(std::io::Error::from_raw_os_error)?;
    let byte = Box::leak(Box::new(0_u8));
    let [reader, writer] = pipe.map(|fd| fd as u64);
    let at = (&raw mut *byte) as u64;
    gate.wait(&json!({}))?;
    let waiter = nap::spawn(Box::new(Deed::new(wakes, libc::SYS_read, [reader, at, 1, 0])))?;
    for _ in 0..wakes {
        // In read(2), which is where it sleeps.
        load::until_others_sleep()?;
        thread::sleep(SLEEP);
        wake::run(&mut Deed::new(1, libc::SYS_write, [writer, at, 1, 0]));
    }
    waiter.join()?;
    Ok(json!({}))
}

/// Runs a tool beside the workload: its rows of threads that `wake` has woken.
pub fn wakes_seen_by(tool: &str) -> Result<Vec<Value>> {
    let mut load = Load::start(&["woken", &WAKES.to_string()])?;
    let tool = Tool::json(tool, &["-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let pid = Value::from(load.id);
    let rows: Vec<Value> =
        rows.into_iter().filter(|row| rows::ends_with(&row["waker_user_stack"], &wake::STACK)).collect();
    for row in &rows {
        equal("waker", &row["waker_pid"], &pid)?;
        equal("sleeper", &row["pid"], &pid)?;
    }
    let total = rows::sum(&rows, "total_us");
    equal("wakes", rows::sum(&rows, "count"), WAKES).context(format!("{rows:?}"))?;
    let least = WAKES * SLEEP.as_micros() as u64;
    ensure!((least..least * 20).contains(&total), "{WAKES} sleeps of {SLEEP:?} took {total} us");
    Ok(rows)
}

fn tells_who_wakes_whom() -> Result<()> {
    let rows = wakes_seen_by("offwaketime")?;
    let is_read = |row: &Value| rows::ends_with(&row["user_stack"], &nap::STACK);
    ensure!(rows.iter().all(is_read), "the sleeper's stack: {rows:?}");
    let is_wake = |row: &Value| {
        row["waker_kernel_stack"].as_array().is_some_and(|stack| {
            stack.iter().filter_map(Value::as_str).any(|name| name.ends_with("pipe_write"))
        })
    };
    ensure!(rows.iter().all(is_wake), "the waker's stack: {rows:?}");
    Ok(())
}
