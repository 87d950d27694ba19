//! biostacks: how long block I/O takes, by the stack that submitted it.

use crate::{
    engine::{
        Plan,
        block::{self, OneDisk},
        stack::{Stack, StackFlags, Unit},
    },
    system::room,
    tool::{About, Domain, Shape, Tool},
};

pub struct Biostacks {
    flags: StackFlags,
}

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    disk: OneDisk,
    #[command(flatten)]
    stacks: StackFlags,
}

impl Tool for Biostacks {
    const ABOUT: About = About {
        name: "biostacks",
        aliases: &[],
        domain: Domain::Block,
        summary: "How long block I/O takes, by the stack that submitted it",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        block::plan(plan, flags.disk, true)?;
        plan.entries("SUBMITTERS", room::for_requests());
        flags.stacks.plan(plan);
        Ok(Shape::Stack(Box::new(Self { flags: flags.stacks })))
    }
}

impl Stack for Biostacks {
    fn flags(&self) -> &StackFlags {
        &self.flags
    }

    fn unit(&self) -> Option<Unit> {
        let about = "time from submission to completion";
        Some(Unit { name: "us", column: "latency_us", about, size: 1000 })
    }

    fn counted(&self) -> &'static str {
        "requests"
    }
}
