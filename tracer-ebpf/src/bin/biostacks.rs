//! biostacks: how long block I/O takes, by the stack that submitted it.
#![no_std]
#![no_main]

use aya_ebpf::{macros::map, maps::LruHashMap};
use tracer_common::stack::Key;
use tracer_ebpf::{
    block::{self, on_insert, on_issue, on_merge, on_requeue},
    clock, emit, filter, interruptible_tracepoint,
    kernel::request,
    program::Args,
    ptr::Ptr,
    stack, tracepoint,
};

/// Who submitted what is under way: by the address of the request, or of the bio that it was made for. What
/// never completes on its own, since it became part of another, is forgotten in time.
#[map]
static SUBMITTERS: LruHashMap<u64, Key> = LruHashMap::with_max_entries(1, 0);

tracepoint!(block_io_start => on_io_start);
tracepoint!(block_getrq => on_getrq);
tracepoint!(block_rq_insert => on_insert);
interruptible_tracepoint!(block_rq_issue => on_issue);
tracepoint!(block_rq_requeue => on_requeue);
tracepoint!(block_rq_merge => on_merge);
interruptible_tracepoint!(block_rq_complete => on_complete);

#[inline(always)]
fn on_io_start<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    block::on_io_start(args);
    submitted(args, args.get(0))
}

#[inline(always)]
fn on_getrq<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    block::on_getrq(args);
    submitted(args, block::bio_of(args).addr())
}

/// In the submitter's context.
#[inline(always)]
fn submitted<const DIRECT: bool>(args: Args<DIRECT>, address: u64) -> Option<()> {
    let current = filter::current()?;
    let key = stack::key(args.context(), current);
    if SUBMITTERS.insert(address, key, 0).is_err() {
        emit::lost();
    }
    Some(())
}

/// `block_rq_complete(request, error, bytes done)`
#[inline(always)]
fn on_complete<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let (request, progress) = block::completed(args)?;
    let key = submitter(request)?;
    stack::count(&key, clock::now().saturating_sub(progress.owner.ns))
}

/// Who submitted what a request was made for: its first bio, or its last if others were put in front.
#[inline(always)]
fn submitter<const DIRECT: bool>(request: Ptr<request, DIRECT>) -> Option<Key> {
    if block::starts_are_seen() {
        return take(request.addr());
    }
    take(request.bio().addr()).or_else(|| take(request.biotail().addr()))
}

#[inline(always)]
fn take(address: u64) -> Option<Key> {
    // SAFETY: the map's value, which nobody writes while the request is under way.
    let key = unsafe { *SUBMITTERS.get_ptr(address)? };
    let _ = SUBMITTERS.remove(address);
    Some(key)
}

tracer_ebpf::object!();
