//! wakeuptime: how long threads sleep, by the stacks of their wakers.

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        off_cpu::{OffCpuFlags, Whose},
    },
    tool::{About, Domain, Shape, Tool},
};

pub struct Wakeuptime;

impl Tool for Wakeuptime {
    const ABOUT: About = About {
        name: "wakeuptime",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "How long threads sleep, and where in its code a thread is that wakes them",
    };
    type Flags = OffCpuFlags;

    fn prepare(flags: OffCpuFlags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_switch")], &[Hook::RawTp("sched_switch")]]);
        plan.hook(&[&[Hook::TpBtf("sched_waking")], &[Hook::RawTp("sched_waking")]]);
        Ok(flags.prepare(Whose::Both, plan))
    }
}
