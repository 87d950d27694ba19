//! The flags of tools that print stacks.

use super::flamegraph::FlameFlags;
use tracer_common::stack::{KERNEL, USER};

use crate::engine::{common::Interval, interval::Rhythm, plan::Plan};

/// Has the kernel side remember so many ids, a power of two, in sets of four.
pub fn plan_ids(plan: &mut Plan, ids: u32) {
    let sets = (ids / 4).max(1);
    plan.entries("STACK_IDS", sets);
    plan.set("STACK_SETS_MASK", sets - 1);
}

#[derive(clap::Args, Clone, Debug)]
pub struct StackFlags {
    /// Stacks in user space only
    #[arg(short = 'U', long, conflicts_with = "kernel_stacks")]
    user_stacks: bool,
    /// Stacks in the kernel only
    #[arg(short = 'K', long)]
    kernel_stacks: bool,
    /// Count each thread on its own
    #[arg(short = 'L', long)]
    by_thread: bool,
    /// A stack a line, with its weight, for other programs
    #[arg(long, conflicts_with_all = ["format", "json"], help_heading = "Output")]
    pub folded: bool,
    /// Leave out of the tree what is less than this share
    #[arg(long, value_name = "PERCENT", default_value = "1", help_heading = "Output")]
    pub min_percent: f64,
    /// Stacks that there is room for
    #[arg(long, value_name = "N", default_value = "12288",
        value_parser = clap::value_parser!(u32).range(1..=1 << 20), help_heading = "Run")]
    max_stacks: u32,
    #[command(flatten)]
    pub flame_graph: FlameFlags,
    #[command(flatten)]
    interval: Interval,
}

impl StackFlags {
    /// Sets what the kernel side must know.
    pub fn plan(&self, plan: &mut Plan) {
        self.plan_of(USER | KERNEL, plan);
    }

    /// The same for a tool that shows these sides if it is not told which.
    pub fn plan_of(&self, default: u32, plan: &mut Plan) {
        let sides = match (self.user_stacks, self.kernel_stacks) {
            (true, _) => USER,
            (_, true) => KERNEL,
            _ => default,
        };
        plan.set("STACK_SIDES", sides);
        plan.set("STACK_BY_THREAD", u32::from(self.by_thread));
        plan.entries("STACK_COUNTS", self.max_stacks);
        plan.entries("PAIR_COUNTS", self.max_stacks);
        plan.stacks = true;
        // A stack of the kernel and one of user space for each.
        plan_ids(plan, 2 * self.max_stacks.next_power_of_two());
    }

    #[must_use]
    pub fn rhythm(&self) -> Rhythm {
        Rhythm { every: self.interval.interval, limit: self.interval.limit() }
    }
}
