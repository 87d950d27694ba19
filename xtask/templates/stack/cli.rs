//! @name@: who starts processes and threads, by stack.

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        stack::{Stack, StackFlags},
    },
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct @Name@ {
    #[command(flatten)]
    stacks: StackFlags,
}

impl Tool for @Name@ {
    const ABOUT: About = About {
        name: "@name@",
        aliases: &[],
        domain: Domain::Processes,
        summary: "Who starts processes and threads, by stack",
    };
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("task_newtask")], &[Hook::RawTp("task_newtask")]]);
        flags.stacks.plan(plan);
        Ok(Shape::Stack(Box::new(flags)))
    }
}

impl Stack for @Name@ {
    fn flags(&self) -> &StackFlags {
        &self.stacks
    }

    fn counted(&self) -> &'static str {
        "starts"
    }
}
