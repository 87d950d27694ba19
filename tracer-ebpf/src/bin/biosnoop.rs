//! biosnoop: block requests as they complete.
#![no_std]
#![no_main]

use aya_ebpf::Global;
use tracer_common::tools::biosnoop::Event;
use tracer_ebpf::{block, clock, emit, follow_requests, interruptible_tracepoint, program::Args};

#[unsafe(no_mangle)]
static FAILED_ONLY: Global<u32> = Global::new(0);
/// The shortest latency that is shown.
#[unsafe(no_mangle)]
static MIN_NS: Global<u64> = Global::new(0);

follow_requests!();
interruptible_tracepoint!(block_rq_complete => on_complete);

/// `block_rq_complete(request, error, bytes done)`
#[inline(always)]
fn on_complete<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let (request, progress) = block::completed(args)?;
    let (now, error) = (clock::now(), args.get(1) as i32);
    if now.saturating_sub(progress.ns) < MIN_NS.load() || FAILED_ONLY.load() != 0 && error == 0 {
        return None;
    }
    let mut event = Event {
        header: progress.owner,
        submitted_ns: progress.owner.ns,
        issued_ns: progress.ns,
        kind: block::kind(request.cmd_flags()),
        sector: progress.sector,
        bytes: progress.bytes,
        error,
        disk: request.disk().name().to_ne_bytes(),
    };
    event.header.ns = now;
    emit::send(&raw const event, size_of::<Event>());
    Some(())
}

tracer_ebpf::object!();
