//! offwaketime: how long threads are without a CPU, by their stacks and those of their wakers.

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        off_cpu::{Kind, OffCpuFlags, States},
    },
    tool::{About, Domain, Shape, Tool},
};

pub struct Offwaketime;

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    states: States,
    #[command(flatten)]
    off_cpu: OffCpuFlags,
}

impl Tool for Offwaketime {
    const ABOUT: About = About {
        name: "offwaketime",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "How long threads are without a CPU, where in their code, and what wakes them",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_switch")], &[Hook::RawTp("sched_switch")]]);
        plan.hook(&[&[Hook::TpBtf("sched_waking")], &[Hook::RawTp("sched_waking")]]);
        let kind = Kind { map: "PAIR_COUNTS", parts: 2, states: flags.states.bits() };
        Ok(flags.off_cpu.prepare(kind, plan))
    }
}
