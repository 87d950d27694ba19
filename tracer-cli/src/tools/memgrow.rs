//! memgrow: who makes the memory of processes grow, by stack.

use tracer_common::stack::USER;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        stack::{Stack, StackFlags, Unit},
    },
    tool::{About, Domain, Shape, Tool},
};

pub struct Memgrow {
    flags: Flags,
}

#[derive(clap::Args)]
pub struct Flags {
    /// Address space that is added by mmap, mremap and brk, whether it is used or not
    #[arg(long)]
    mapped: bool,
    #[command(flatten)]
    stacks: StackFlags,
}

impl Tool for Memgrow {
    const ABOUT: About = About {
        name: "memgrow",
        aliases: &[],
        domain: Domain::Memory,
        summary: "Growth of processes' resident memory, by the stack that touches it",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        if flags.mapped {
            plan.hook(&[&[Hook::TpBtf("sys_exit")], &[Hook::RawTp("sys_exit")]]);
        } else {
            plan.hook(&[&[Hook::Tracepoint("kmem", "rss_stat")]]);
            plan.entries_by_thread("RESIDENT");
        }
        plan.hook(&[&[Hook::TpBtf("sched_process_exec")], &[Hook::RawTp("sched_process_exec")]]);
        // New programs are noted in both.
        plan.entries_by_thread("FRESH");
        plan.entries_by_thread("BREAKS");
        flags.stacks.plan_of(USER, plan);
        Ok(Shape::Stack(Box::new(Self { flags })))
    }
}

impl Stack for Memgrow {
    fn flags(&self) -> &StackFlags {
        &self.flags.stacks
    }

    fn unit(&self) -> Option<Unit> {
        let about = if self.flags.mapped { "address space added" } else { "memory that became resident" };
        Some(Unit { name: "bytes", column: "growth_bytes", about, size: 1 })
    }

    fn counted(&self) -> &'static str {
        "times"
    }
}
