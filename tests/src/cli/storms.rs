//! More than anyone reads: every event is a row, or counted as lost, and tracer's memory stays what it was.

use std::fs;

use crate::harness::{
    Gate, Load, Output, Result, Scratch, Suite, Test, Tool, Value, Workload, by_machine, ensure, equal, json,
    load::count, peak_memory, sys, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::storms",
    standard: None,
    tests: &[Test::new("opens_and_processes_are_rows_or_lost", opens_and_processes_are_rows_or_lost)],
    workloads: &[Workload::new("process-storm", process_storm)],
};

/// Processes that end as soon as they are there, one after the other.
fn process_storm(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    gate.wait(&json!({}))?;
    for _ in 0..times {
        sys::wait(sys::fork(|| 0)?)?;
    }
    // The workload ends too.
    Ok(json!({ "made": times + 1 }))
}

/// A tool beside a workload that goes as fast as it can.
struct Storm {
    load: Load,
    tool: Tool,
    scratch: Scratch,
    memory: u64,
}

impl Storm {
    fn start(load: &[&str], words: &[&str]) -> Result<Self> {
        let (load, scratch) = (Load::start(load)?, Scratch::new()?);
        let output = ["-F", "csv", "--no-header", "-o", &scratch.file("rows"), "-p", &load.pid()];
        let tool = tracer(&[words, &output].concat()).start()?;
        Ok(Self { memory: peak_memory(tool.id())?, load, tool, scratch })
    }

    /// Once the workload is done.
    fn judge(mut self) -> Result<()> {
        /// The ring buffer's 8 MB, each page at the two places where it is mapped, and what was read of it.
        const ROOM: u64 = 32 << 10;
        // On a busy machine, it takes longer than anything else is waited for.
        let made = self.load.done().or_else(|_| self.load.done())?["made"].as_u64();
        let grown = peak_memory(self.tool.id())?.saturating_sub(self.memory);
        let output: Output = self.tool.interrupt()?;
        equal("exit code", output.code, 0)?;
        let rows = fs::read(self.scratch.file("rows"))?.iter().filter(|byte| **byte == b'\n').count() as u64;
        equal("rows and lost events", Some(rows + output.lost()), made)?;
        ensure!(grown < ROOM, "it grew by {grown} kB: {output}");
        Ok(())
    }
}

/// Three million opens, twice as many in a second as are asked of tracer, and 50,000 processes.
fn opens_and_processes_are_rows_or_lost() -> Result<()> {
    let opens = by_machine(3_000_017, 20_011).to_string();
    let processes = by_machine(25_013, 103).to_string();
    let exits = ["exitsnoop", "-f", "--columns", "code"];
    let mut storms = vec![
        Storm::start(&["open-storm", &opens], &["opensnoop", "--columns", "fd"])?,
        Storm::start(&["process-storm", &processes], &exits)?,
        Storm::start(&["process-storm", &processes], &exits)?,
    ];
    storms.iter_mut().try_for_each(|storm| storm.load.go())?;
    storms.into_iter().try_for_each(Storm::judge)
}
