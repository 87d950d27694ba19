//! offcputime: how long threads are without a CPU, by their stacks.

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        off_cpu::{Kind, OffCpuFlags, States},
    },
    tool::{About, Domain, Shape, Tool},
};

pub struct Offcputime;

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    states: States,
    #[command(flatten)]
    off_cpu: OffCpuFlags,
}

impl Tool for Offcputime {
    const ABOUT: About = About {
        name: "offcputime",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "How long threads are without a CPU, and where in their code",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_switch")], &[Hook::RawTp("sched_switch")]]);
        let kind = Kind { map: "STACK_COUNTS", parts: 1, states: flags.states.bits() };
        Ok(flags.off_cpu.prepare(kind, plan))
    }
}
