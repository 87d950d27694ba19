//! biolatency: how long block I/O takes.

use tracer_common::{
    dist::Key,
    tools::biolatency::{FLAGS, FLAGS_FROM, OPERATIONS},
};

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        common::Interval,
        dist::{self, Dist, Label},
        interval::Rhythm,
    },
    system::disks,
    tool::{About, Domain, Shape, Tool},
};

/// Bios that may await their requests at a time.
const OWNED_BIOS: u32 = 16384;

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
    /// One disk only
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    disk: Option<String>,
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
        if plan.filters {
            // In the submitter's context: with the request since 6.5, else with the bio it is for.
            plan.hook(&[
                &[Hook::TpBtf("block_io_start")],
                &[Hook::RawTp("block_io_start")],
                &[Hook::TpBtf("block_getrq")],
                &[Hook::RawTp("block_getrq")],
            ]);
            plan.entries("OWNED_BIOS", OWNED_BIOS);
        }
        if queued {
            plan.hook(&[&[Hook::TpBtf("block_rq_insert")], &[Hook::RawTp("block_rq_insert")]]);
        }
        plan.hook(&[&[Hook::TpBtf("block_rq_issue")], &[Hook::RawTp("block_rq_issue")]]);
        plan.hook(&[&[Hook::TpBtf("block_rq_complete")], &[Hook::RawTp("block_rq_complete")]]);
        plan.hook(&[&[Hook::TpBtf("block_rq_requeue")], &[Hook::RawTp("block_rq_requeue")]]);
        plan.hook_if_there(&[&[Hook::TpBtf("block_rq_merge")], &[Hook::RawTp("block_rq_merge")]]);
        plan.set("BY_OWNER", u32::from(plan.filters));
        plan.set("BY_DISK", u32::from(by_disk));
        plan.set("BY_FLAG", u32::from(by_flag));
        if let Some(disk) = disk {
            plan.set("DISK", name_number(&disks::find(&disk)?));
        }
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

/// The first 16 bytes of a disk's name as the kernel side compares them.
fn name_number(name: &str) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    u128::from_ne_bytes(bytes)
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
    let operation = (kind & ((1 << FLAGS_FROM) - 1)) as usize;
    let operation = operation.checked_sub(1).and_then(|index| OPERATIONS.get(index)).unwrap_or(&"Unknown");
    let flags = (FLAGS_FROM..).zip(FLAGS).filter(|(bit, _)| kind & 1 << bit != 0).map(|(_, flag)| flag);
    // Every flush has the flag for what it is.
    let flags = flags.filter(|flag| (**flag, *operation) != ("PreFlush", "Flush"));
    flags.flat_map(|flag| [flag, "-"]).chain([*operation]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_names_bcc_gives_them() {
        let code = |name| 1 + OPERATIONS.iter().position(|&operation| operation == name).unwrap() as u64;
        let bit = |name| 1 << (FLAGS_FROM as usize + FLAGS.iter().position(|&flag| flag == name).unwrap());
        assert_eq!(kind_name(code("Read")), "Read");
        assert_eq!(kind_name(code("Write") | bit("Sync")), "Sync-Write");
        assert_eq!(kind_name(code("Read") | bit("Sync") | bit("Metadata")), "Metadata-Sync-Read");
        assert_eq!(kind_name(code("Flush") | bit("PreFlush")), "Flush");
        assert_eq!(kind_name(bit("FUA")), "FUA-Unknown");
    }

    #[test]
    fn names_are_compared_by_their_start() {
        assert_eq!(name_number("sda").to_ne_bytes(), *b"sda\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(name_number("0123456789abcdefgh").to_ne_bytes(), *b"0123456789abcdef");
    }
}
