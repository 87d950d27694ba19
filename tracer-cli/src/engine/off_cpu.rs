//! Time without a CPU: what the tools that measure it share.

use std::time::Duration;

use tracer_common::off_cpu::RUNNING;

use super::{
    common::threshold,
    plan::Plan,
    stack::{Stack, StackFlags, Unit},
};
use crate::tool::Shape;

/// The flags of such tools.
#[derive(clap::Args)]
pub struct OffCpuFlags {
    /// Only times this long or longer (10ms, 500us, or milliseconds)
    #[arg(long, value_name = "TIME", value_parser = threshold, help_heading = "Filters")]
    min: Option<Duration>,
    /// Only times this long or shorter
    #[arg(long, value_name = "TIME", value_parser = threshold, help_heading = "Filters")]
    max: Option<Duration>,
    /// Threads of the kernel too
    #[arg(short = 'k', long, help_heading = "Filters")]
    kernel_threads: bool,
    #[command(flatten)]
    stacks: StackFlags,
}

/// The flags of those that look at more than sleeps.
#[derive(clap::Args)]
pub struct AnyStateFlags {
    #[command(flatten)]
    states: States,
    #[command(flatten)]
    off_cpu: OffCpuFlags,
}

#[derive(clap::Args)]
struct States {
    /// Only threads that go in these states: running (they could run on), interruptible, uninterruptible,
    /// stopped, or the kernel's bits as a number
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = state, help_heading = "Filters")]
    state: Vec<u32>,
}

/// `TASK_*` bits, and ours of threads that could run.
fn state(text: &str) -> Result<u32, String> {
    match text {
        "running" => Ok(RUNNING),
        "interruptible" => Ok(1),
        "uninterruptible" => Ok(2),
        "stopped" => Ok(4 | 8),
        _ => text.parse().map_err(|_| {
            "a state is running, interruptible, uninterruptible, stopped or a number".to_owned()
        }),
    }
}

impl States {
    /// As bits.
    fn bits(&self) -> u32 {
        if self.state.is_empty() { u32::MAX } else { self.state.iter().fold(0, |all, state| all | state) }
    }
}

/// Every state in which a thread can't run.
const ASLEEP: u32 = !RUNNING;

/// Whose stacks are counted.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    Sleepers,
    /// The sleeper's, and the waker's.
    Both,
}

struct OffCpu {
    whose: Whose,
    flags: StackFlags,
}

impl AnyStateFlags {
    /// Plans a run that looks at the states asked for, and gives what prints it.
    pub fn prepare(self, whose: Whose, plan: &mut Plan) -> Shape {
        self.off_cpu.plan(self.states.bits(), whose, plan)
    }
}

impl OffCpuFlags {
    /// Plans a run that looks at sleeps, and gives what prints it.
    pub fn prepare(self, whose: Whose, plan: &mut Plan) -> Shape {
        self.plan(ASLEEP, whose, plan)
    }

    fn plan(self, states: u32, whose: Whose, plan: &mut Plan) -> Shape {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        plan.set("AWAY_MIN_NS", self.min.map_or(0, ns));
        plan.set("AWAY_MAX_NS", self.max.map_or(u64::MAX, ns));
        plan.set("AWAY_STATES", states);
        plan.set("AWAY_KERNEL", u32::from(self.kernel_threads));
        plan.entries_by_thread("AWAY");
        self.stacks.plan(plan);
        Shape::Stack(Box::new(OffCpu { whose, flags: self.stacks }))
    }
}

impl Stack for OffCpu {
    fn flags(&self) -> &StackFlags {
        &self.flags
    }

    fn unit(&self) -> Option<Unit> {
        Some(Unit { name: "us", column: "total_us", about: "time without a CPU, all together", size: 1000 })
    }

    fn counted(&self) -> &'static str {
        "us"
    }

    fn parts(&self) -> usize {
        match self.whose {
            Whose::Sleepers => 1,
            Whose::Both => 2,
        }
    }

    fn map(&self) -> &'static str {
        match self.whose {
            Whose::Sleepers => "STACK_COUNTS",
            Whose::Both => "PAIR_COUNTS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_names_or_bits() {
        assert_eq!(state("running"), Ok(RUNNING));
        assert_eq!(state("66"), Ok(66));
        assert!(state("asleep").is_err() && state("").is_err());
        assert_eq!(States { state: vec![1, 2] }.bits(), 3);
        assert_eq!(States { state: Vec::new() }.bits(), u32::MAX);
    }
}
