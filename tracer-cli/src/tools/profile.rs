//! profile: what CPUs do, by samples.

use crate::{
    bpf::hook::{Clock, Hook, Sampling},
    engine::{
        Plan,
        stack::{Stack, StackFlags, Taken},
    },
    tool::{About, Domain, Shape, Tool},
};

pub struct Profile {
    flags: StackFlags,
}

#[derive(clap::Args)]
pub struct Flags {
    /// Samples a second, of each CPU
    #[arg(long, value_name = "N", default_value = "99", value_parser = clap::value_parser!(u32).range(1..))]
    hz: u32,
    /// Count the idle threads' samples too
    #[arg(short = 'I', long)]
    include_idle: bool,
    /// One CPU only
    #[arg(long, value_name = "N", help_heading = "Filters")]
    cpu: Option<u32>,
    #[command(flatten)]
    stacks: StackFlags,
}

impl Tool for Profile {
    const ABOUT: About = About {
        name: "profile",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "What CPUs do, by samples of their stacks",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        // An idle CPU has no cycles, or those of the wait for work.
        if flags.include_idle {
            plan.hook(&[&[Hook::Sample(Clock::Timer)]]);
        } else {
            plan.hook(&[&[Hook::Sample(Clock::Cycles)], &[Hook::Sample(Clock::Timer)]]);
        }
        plan.sampling = Sampling { hz: flags.hz, cpu: flags.cpu };
        plan.set("INCLUDE_IDLE", u32::from(flags.include_idle));
        flags.stacks.plan(plan);
        Ok(Shape::Stack(Box::new(Self { flags: flags.stacks })))
    }
}

impl Stack for Profile {
    fn flags(&self) -> &StackFlags {
        &self.flags
    }

    fn taken(&self) -> Taken {
        Taken::Anywhere
    }

    fn counted(&self) -> &'static str {
        "samples"
    }
}
