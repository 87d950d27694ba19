//! biotop: block requests as they complete, counted by process and disk.
#![no_std]
#![no_main]

use aya_ebpf::{macros::map, maps::PerCpuHashMap};
use tracer_common::{
    block::{READ, WRITE, operation},
    tools::biotop::{Counts, Key},
};
use tracer_ebpf::{
    block, clock, counter, follow_requests, hist, interruptible_tracepoint, program::Args, tally,
};

/// How far a device number's major part is shifted (`MINORBITS`).
const MINOR_BITS: u32 = 20;

#[map]
static COUNTS: PerCpuHashMap<Key, Counts> = PerCpuHashMap::with_max_entries(4096, counter::GROWS);

follow_requests!();
interruptible_tracepoint!(block_rq_complete => on_complete);

/// `block_rq_complete(request, error, bytes done)`
#[inline(always)]
fn on_complete<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let (request, progress) = block::completed(args)?;
    let disk = request.disk();
    let key = Key {
        pid: progress.owner.pid,
        device: (disk.major() as u32) << MINOR_BITS | disk.first_minor() as u32,
        comm: progress.owner.comm,
        disk: disk.name().to_ne_bytes(),
    };
    let ns = clock::now().saturating_sub(progress.ns);
    let counts = tally::of(&COUNTS, &key)?;
    // SAFETY: this CPU's own counters; an interrupt in between may cost one count at worst.
    let counts = unsafe { &mut *counts };
    counts.count += 1;
    counts.total_ns += ns;
    let bytes = u64::from(progress.bytes);
    match operation(block::kind(request.cmd_flags())) {
        READ => counts.read_bytes += bytes,
        WRITE => counts.write_bytes += bytes,
        _ => {}
    }
    hist::add(ns, || (key.id(), key.comm));
    Some(())
}

tracer_ebpf::object!();
