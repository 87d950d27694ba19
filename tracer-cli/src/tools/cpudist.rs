//! cpudist: how long threads have a CPU at a time, or are without one.

use crate::{
    bpf::hook::Hook,
    engine::{Plan, task_dist::TaskDistFlags},
    tool::{About, Domain, Shape, Tool},
};

pub struct Cpudist;

#[derive(clap::Args)]
pub struct Flags {
    /// Measure the time without a CPU, not that with one
    #[arg(short = 'O', long)]
    off_cpu: bool,
    /// Count the idle threads' time too
    #[arg(short = 'I', long, conflicts_with = "off_cpu")]
    include_idle: bool,
    #[command(flatten)]
    dist: TaskDistFlags,
}

impl Tool for Cpudist {
    const ABOUT: About = About {
        name: "cpudist",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "How long threads have a CPU at a time, or are without one, as a histogram",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_switch")], &[Hook::RawTp("sched_switch")]]);
        plan.set("OFF_CPU", u32::from(flags.off_cpu));
        plan.set("INCLUDE_IDLE", u32::from(flags.include_idle));
        // Of time with a CPU, one note a CPU does for all threads.
        if flags.off_cpu {
            plan.entries_by_thread("SINCE");
        }
        Ok(Shape::Dist(Box::new(flags.dist.prepare(plan))))
    }
}
