//! biolatency: how long block I/O takes.

use tracer_common::dist::Key;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        block::{self, OneDisk},
        common::Interval,
        dist::{self, Dist, Label},
        interval::Rhythm,
    },
    tool::{About, Domain, Shape, Tool},
};

pub struct Biolatency {
    by_disk: bool,
    by_flag: bool,
    milliseconds: bool,
    rhythm: Rhythm,
}

#[derive(clap::Args)]
pub struct Flags {
    /// Count the time in the queue too
    #[arg(short = 'Q', long)]
    queued: bool,
    #[command(flatten)]
    disk: OneDisk,
    /// A histogram for each disk
    #[arg(short = 'D', long)]
    by_disk: bool,
    /// A histogram for each kind of request (Sync-Write, ReadAhead-Read, ...)
    #[arg(long)]
    by_flag: bool,
    /// In milliseconds, not microseconds
    #[arg(short, long)]
    milliseconds: bool,
    #[command(flatten)]
    interval: Interval,
}

impl Tool for Biolatency {
    const ABOUT: About = About {
        name: "biolatency",
        aliases: &[],
        domain: Domain::Block,
        summary: "How long block I/O takes, as histograms",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        let Flags { queued, disk, by_disk, by_flag, milliseconds, interval } = flags;
        block::plan(plan, disk, false)?;
        if queued {
            plan.hook(&[&[Hook::TpBtf("block_rq_insert")], &[Hook::RawTp("block_rq_insert")]]);
        }
        plan.set("BY_DISK", u32::from(by_disk));
        plan.set("BY_FLAG", u32::from(by_flag));
        dist::plan(plan, by_disk || by_flag, if milliseconds { 1_000_000 } else { 1_000 });
        let rhythm = Rhythm { every: interval.interval, limit: interval.limit() };
        Ok(Shape::Dist(Box::new(Self { by_disk, by_flag, milliseconds, rhythm })))
    }
}

impl Dist for Biolatency {
    fn unit(&self) -> &'static str {
        if self.milliseconds { "ms" } else { "us" }
    }

    fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn labels(&mut self, key: &Key) -> Vec<(&'static str, Label)> {
        let disk = self.by_disk.then(|| ("disk", Label::Text(disk_name(&key.name))));
        let flags = self.by_flag.then(|| ("flags", Label::Text(kind_name(key.id).into_bytes())));
        disk.into_iter().chain(flags).collect()
    }
}

/// The name of a disk; a request to a controller has none.
fn disk_name(name: &[u8; 16]) -> Vec<u8> {
    match name.split(|&byte| byte == 0).next() {
        None | Some([]) => b"unknown".to_vec(),
        Some(name) => name.to_vec(),
    }
}

/// What a request does, with its flags in front, as BCC has it: `Sync-Write`.
fn kind_name(kind: u64) -> String {
    block::flags(kind).flat_map(|flag| [flag, "-"]).chain([block::operation(kind)]).collect()
}
