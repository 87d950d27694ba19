//! runqlat: how long threads wait for a CPU.

use crate::{
    bpf::hook::Hook,
    engine::{Plan, task_dist::TaskDistFlags},
    tool::{About, Domain, Shape, Tool},
};

pub struct Runqlat;

impl Tool for Runqlat {
    const ABOUT: About = About {
        name: "runqlat",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "How long threads wait for a CPU, as a histogram",
    };
    type Flags = TaskDistFlags;

    fn prepare(flags: TaskDistFlags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_wakeup")], &[Hook::RawTp("sched_wakeup")]]);
        plan.hook(&[&[Hook::TpBtf("sched_wakeup_new")], &[Hook::RawTp("sched_wakeup_new")]]);
        plan.hook(&[&[Hook::TpBtf("sched_switch")], &[Hook::RawTp("sched_switch")]]);
        plan.entries_by_thread("SINCE");
        Ok(Shape::Dist(Box::new(flags.prepare(plan))))
    }
}
