//! fileslower: slow reads and writes of any file, by thread.

use crate::{
    engine::{
        Plan,
        common::{Count, Threshold},
        file_io::{DEFAULT_MIN, EveryType, Operations, SlowFiles},
    },
    tool::{About, Domain, Shape, Tool},
};

const OPERATIONS: &[&str] = &["read", "write"];

pub struct Fileslower;

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    threshold: Threshold,
    #[command(flatten)]
    every_type: EveryType,
    #[command(flatten)]
    operations: Operations,
    #[command(flatten)]
    count: Count,
}

impl Tool for Fileslower {
    const ABOUT: About = About {
        name: "fileslower",
        aliases: &[],
        domain: Domain::Files,
        summary: "Slow reads and writes by thread: of files, or of pipes, sockets and devices too",
    };
    const STACK_OF: Option<&'static str> = Some("the call");
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        flags.operations.plan(plan, OPERATIONS)?;
        flags.every_type.plan(plan);
        flags.threshold.plan(plan, "FILE_MIN_NS", DEFAULT_MIN);
        Ok(Shape::Snoop(Box::new(SlowFiles::new(flags.count.count, true))))
    }
}
