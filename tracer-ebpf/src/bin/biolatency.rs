//! biolatency: how long block I/O takes, from its issue, or from its way into the queue, to its end.
#![no_std]
#![no_main]

use aya_ebpf::Global;
use tracer_ebpf::{
    block, clock, follow_requests, hist, interruptible_tracepoint, kernel::request, program::Args, ptr::Ptr,
};

#[unsafe(no_mangle)]
static BY_DISK: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BY_FLAG: Global<u32> = Global::new(0);

follow_requests!();
interruptible_tracepoint!(block_rq_complete => on_complete);

#[inline(always)]
fn on_complete<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let (request, progress) = block::completed(args)?;
    hist::add(clock::now().saturating_sub(progress.ns), || key(request));
    Some(())
}

/// The kind and the disk of a request, as far as the run tells them apart.
#[inline(always)]
fn key<const DIRECT: bool>(request: Ptr<request, DIRECT>) -> (u64, [u8; 16]) {
    let kind = if BY_FLAG.load() != 0 { block::kind(request.cmd_flags()) } else { 0 };
    let name = if BY_DISK.load() != 0 { request.disk().name() } else { 0 };
    (kind, name.to_ne_bytes())
}

tracer_ebpf::object!();
