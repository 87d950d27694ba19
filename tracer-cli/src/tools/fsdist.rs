//! fsdist: how long operations on files take, by operation and file system.

use tracer_common::{dist::Key, record::until_nul, tools::fsdist::OPERATIONS};

use crate::{
    engine::{
        Plan,
        common::Interval,
        dist::{self, Dist, Label},
        file_io::{FileSystems, Operations},
        interval::Rhythm,
    },
    tool::{About, Domain, Shape, Tool},
};

/// Not sendfile and splice, whose time is as often that of a socket or a pipe.
const OFFERED: &[&str] = &["read", "write", "open", "fsync", "fstat", "copy"];

pub struct Fsdist {
    milliseconds: bool,
    rhythm: Rhythm,
}

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    file_systems: FileSystems,
    #[command(flatten)]
    operations: Operations,
    /// Count milliseconds, not microseconds
    #[arg(short, long)]
    milliseconds: bool,
    #[command(flatten)]
    interval: Interval,
}

impl Tool for Fsdist {
    const ABOUT: About = About {
        name: "fsdist",
        aliases: &["ext4dist", "xfsdist", "btrfsdist", "nfsdist", "zfsdist", "f2fsdist", "fusedist"],
        domain: Domain::Files,
        summary: "How long operations on files take, as histograms by operation and file system",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        let Flags { file_systems, operations, milliseconds, interval } = flags;
        operations.plan(plan, OFFERED)?;
        file_systems.plan(plan, Self::ABOUT.name)?;
        dist::plan(plan, true, if milliseconds { 1_000_000 } else { 1_000 });
        let rhythm = Rhythm { every: interval.interval, limit: interval.limit() };
        Ok(Shape::Dist(Box::new(Self { milliseconds, rhythm })))
    }
}

impl Dist for Fsdist {
    fn unit(&self) -> &'static str {
        if self.milliseconds { "ms" } else { "us" }
    }

    fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn labels(&mut self, key: &Key) -> Vec<(&'static str, Label)> {
        let operation = usize::try_from(key.id).ok().and_then(|id| OPERATIONS.get(id)).unwrap_or(&"");
        vec![
            ("fs", Label::Text(until_nul(&key.name).to_vec())),
            ("operation", Label::Text(operation.as_bytes().to_vec())),
        ]
    }
}
