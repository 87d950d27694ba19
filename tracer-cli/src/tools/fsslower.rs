//! fsslower: slow operations on files, of any file system.

use crate::{
    engine::{
        Plan,
        common::{Count, Threshold},
        file_io::{DEFAULT_MIN, FileSystems, Operations, SlowFiles},
    },
    tool::{About, Domain, Shape, Tool},
};

/// Not sendfile and splice, whose time is as often that of a socket or a pipe.
const OPERATIONS: &[&str] = &["read", "write", "open", "fsync", "copy"];

pub struct Fsslower;

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    threshold: Threshold,
    #[command(flatten)]
    file_systems: FileSystems,
    #[command(flatten)]
    operations: Operations,
    #[command(flatten)]
    count: Count,
}

impl Tool for Fsslower {
    const ABOUT: About = About {
        name: "fsslower",
        aliases: &[
            "ext4slower",
            "xfsslower",
            "btrfsslower",
            "nfsslower",
            "zfsslower",
            "f2fsslower",
            "fuseslower",
        ],
        domain: Domain::Files,
        summary: "Slow operations on files: reads, writes, opens, syncs, of any file system",
    };
    const STACK_OF: Option<&'static str> = Some("the call");
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        flags.operations.plan(plan, OPERATIONS)?;
        flags.file_systems.plan(plan, Self::ABOUT.name)?;
        flags.threshold.plan(plan, "FILE_MIN_NS", DEFAULT_MIN);
        Ok(Shape::Snoop(Box::new(SlowFiles::new(flags.count.count, false))))
    }
}
