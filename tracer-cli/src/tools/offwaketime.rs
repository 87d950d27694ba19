//! offwaketime: how long threads are without a CPU, by their stacks and those of their wakers.

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        off_cpu::{AnyStateFlags, Whose},
    },
    tool::{About, Domain, Shape, Tool},
};

pub struct Offwaketime;

impl Tool for Offwaketime {
    const ABOUT: About = About {
        name: "offwaketime",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "How long threads are without a CPU, where in their code, and what wakes them",
    };
    type Flags = AnyStateFlags;

    fn prepare(flags: AnyStateFlags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_switch")], &[Hook::RawTp("sched_switch")]]);
        plan.hook(&[&[Hook::TpBtf("sched_waking")], &[Hook::RawTp("sched_waking")]]);
        Ok(flags.prepare(Whose::Both, plan))
    }
}
