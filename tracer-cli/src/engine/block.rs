//! Block requests: what the tools that follow them share.

use clap::Args;
use tracer_common::block::{self, FLAGS, FLAGS_FROM, OPERATIONS};

use super::Plan;
use crate::{
    bpf::hook::Hook,
    system::{disks, room},
};

/// Bios that may await their requests at a time.
const OWNED_BIOS: u32 = 4096;

/// `--disk`, in tools that follow block requests.
#[derive(Args, Clone, Debug)]
pub struct OneDisk {
    /// One disk only
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    disk: Option<String>,
}

/// Hooks the way of requests, and of their owners too, if the tool tells them or the run filters.
///
/// # Errors
/// If there is no such disk.
pub fn plan(plan: &mut Plan, disk: OneDisk, tells_owners: bool) -> anyhow::Result<()> {
    if tells_owners || plan.filters {
        // In the submitter's context: with the request since 6.5, else with the bio it is for.
        plan.hook(&[
            &[Hook::TpBtf("block_io_start")],
            &[Hook::RawTp("block_io_start")],
            &[Hook::TpBtf("block_getrq")],
            &[Hook::RawTp("block_getrq")],
        ]);
        plan.entries("BIO_OWNERS", OWNED_BIOS);
        plan.set("SEES_OWNERS", 1_u32);
    }
    plan.entries("REQUESTS", room::for_requests());
    plan.hook(&[&[Hook::TpBtf("block_rq_issue")], &[Hook::RawTp("block_rq_issue")]]);
    plan.hook(&[&[Hook::TpBtf("block_rq_complete")], &[Hook::RawTp("block_rq_complete")]]);
    plan.hook(&[&[Hook::TpBtf("block_rq_requeue")], &[Hook::RawTp("block_rq_requeue")]]);
    plan.hook_if_there(&[&[Hook::TpBtf("block_rq_merge")], &[Hook::RawTp("block_rq_merge")]]);
    plan.set("BY_OWNER", u32::from(plan.filters));
    if let Some(disk) = disk.disk {
        plan.set("DISK", name_number(&disks::find(&disk)?));
    }
    Ok(())
}

/// The first 16 bytes of a disk's name as the kernel side compares them.
fn name_number(name: &str) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    u128::from_ne_bytes(bytes)
}

/// What a request does.
#[must_use]
pub fn operation(kind: u64) -> &'static str {
    let code = block::operation(kind) as usize;
    code.checked_sub(1).and_then(|index| OPERATIONS.get(index)).unwrap_or(&"Unknown")
}

/// How it is to be done.
pub fn flags(kind: u64) -> impl Iterator<Item = &'static str> {
    let flags = (FLAGS_FROM..).zip(FLAGS).filter(move |(bit, _)| kind & 1 << bit != 0).map(|(_, flag)| *flag);
    // Every flush has the flag for what it is.
    flags.filter(move |flag| (*flag, operation(kind)) != ("PreFlush", "Flush"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names() {
        let code = |name| 1 + OPERATIONS.iter().position(|&operation| operation == name).unwrap() as u64;
        let bit = |name| 1 << (FLAGS_FROM as usize + FLAGS.iter().position(|&flag| flag == name).unwrap());
        let names = |kind| (operation(kind), flags(kind).collect::<Vec<_>>());
        assert_eq!(names(code("Read")), ("Read", vec![]));
        assert_eq!(names(code("Read") | bit("Sync") | bit("Metadata")), ("Read", vec!["Metadata", "Sync"]));
        assert_eq!(names(code("Flush") | bit("PreFlush")), ("Flush", vec![]));
        assert_eq!(names(bit("FUA")), ("Unknown", vec!["FUA"]));
    }

    #[test]
    fn names_are_compared_by_their_start() {
        assert_eq!(name_number("sda").to_ne_bytes(), *b"sda\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(name_number("0123456789abcdefgh").to_ne_bytes(), *b"0123456789abcdef");
    }
}
