//! offcputime: how long threads are without a CPU, by their stacks.

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        off_cpu::{AnyStateFlags, Whose},
    },
    tool::{About, Domain, Shape, Tool},
};

pub struct Offcputime;

impl Tool for Offcputime {
    const ABOUT: About = About {
        name: "offcputime",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "How long threads are without a CPU, and where in their code",
    };
    type Flags = AnyStateFlags;

    fn prepare(flags: AnyStateFlags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_switch")], &[Hook::RawTp("sched_switch")]]);
        Ok(flags.prepare(Whose::Sleepers, plan))
    }
}
