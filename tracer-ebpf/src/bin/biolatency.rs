//! biolatency: how long block I/O takes, from its issue, or from its way into the queue, to its end.
#![no_std]
#![no_main]
#![allow(non_upper_case_globals, reason = "globals that ask for the kernel's values bear its names")]

use core::hint::black_box;

use aya_ebpf::{Global, helpers::bpf_ktime_get_ns, macros::map, maps::HashMap};
use tracer_common::{request_kinds, tools::biolatency::FLAGS_FROM};
use tracer_ebpf::{
    emit, filter, hist,
    kernel::{bio, request},
    program::Args,
    ptr::Ptr,
    tracepoint,
};

/// Room for requests under way.
const MAX_REQUESTS: u32 = 16384;
/// The operation in a request's flags (`REQ_OP_MASK`).
const OPERATION_MASK: u32 = 0xff;

/// How far a request has got.
#[repr(C)]
#[derive(Clone, Copy)]
struct Start {
    /// When it started; 0 if so far it only has an owner.
    ns: u64,
    /// It is in the queue, for the first time or again: what follows continues this start.
    queued: u64,
}

/// Requests under way by address; if the run filters, those of wanted owners only.
#[map]
static STARTS: HashMap<u64, Start> = HashMap::with_max_entries(MAX_REQUESTS, 0);

/// Bios of wanted owners that await their request, by address: for kernels without `block_io_start`.
#[map]
static OWNED_BIOS: HashMap<u64, u8> = HashMap::with_max_entries(1, 0);

/// The run filters by owner.
#[unsafe(no_mangle)]
static BY_OWNER: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BY_DISK: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BY_FLAG: Global<u32> = Global::new(0);
/// The only disk wanted, by the first 16 bytes of its name; 0 for all.
#[unsafe(no_mangle)]
static DISK: Global<u128> = Global::new(0);

#[unsafe(no_mangle)]
static BTFA_block_io_start: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BTFA_block_rq_issue: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BTFA_block_getrq: Global<u32> = Global::new(0);

tracepoint!(block_io_start => on_io_start);
/// A request was made for a bio, in its submitter's context.
fn on_io_start<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let request: Ptr<request, DIRECT> = args.ptr(0);
    if filter::current().is_some() {
        remember(request.addr(), Start { ns: 0, queued: 0 });
    } else {
        // What was at this address before is no more.
        let _ = STARTS.remove(request.addr());
    }
    Some(())
}

tracepoint!(block_getrq => on_getrq);
/// A bio is about to get a request, in its submitter's context. (queue, bio, rw) before 5.11.
fn on_getrq<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let bio: Ptr<bio, DIRECT> = behind_queue(args, BTFA_block_getrq.load() == 3);
    if filter::current().is_none() {
        let _ = OWNED_BIOS.remove(bio.addr());
    } else if OWNED_BIOS.insert(bio.addr(), 0, 0).is_err() {
        emit::lost();
    }
    Some(())
}

tracepoint!(block_rq_insert => on_insert);
fn on_insert<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    start(request_of(args), true)
}

tracepoint!(block_rq_issue => on_issue);
fn on_issue<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    start(request_of(args), false)
}

tracepoint!(block_rq_requeue => on_requeue);
/// A request goes back into the queue: its time runs on.
fn on_requeue<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let start = STARTS.get_ptr_mut(request_of(args).addr())?;
    // SAFETY: the map's value, aligned and valid as long as the program runs.
    unsafe { (*start).queued = u64::from((*start).ns != 0) };
    Some(())
}

tracepoint!(block_rq_merge => on_merge);
/// A request became part of another one, and will not complete.
fn on_merge<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let request = request_of(args);
    let _ = STARTS.remove(request.addr());
    take_owner(request);
    Some(())
}

tracepoint!(block_rq_complete => on_complete);
/// (request, error, bytes done): comes for each part of a request that is completed in parts.
fn on_complete<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let request: Ptr<request, DIRECT> = args.ptr(0);
    let Some(start) = STARTS.get_ptr(request.addr()) else {
        take_owner(request);
        return None;
    };
    // SAFETY: the map's value; a request is in one place at a time, so nobody writes it now.
    let start = unsafe { *start };
    if (args.get(2) as u32) < request.data_len() {
        return None;
    }
    let _ = STARTS.remove(request.addr());
    if start.ns != 0 {
        hist::add(now().saturating_sub(start.ns), || key(request));
    }
    Some(())
}

/// The request that a tracepoint is about: its last argument, before 5.11 after the queue.
#[inline(always)]
fn request_of<const DIRECT: bool>(args: Args<DIRECT>) -> Ptr<request, DIRECT> {
    behind_queue(args, BTFA_block_rq_issue.load() == 2)
}

/// What a tracepoint is about: its first argument, or the second where the queue is the first.
#[inline(always)]
fn behind_queue<T, const DIRECT: bool>(args: Args<DIRECT>, queue_first: bool) -> Ptr<T, DIRECT> {
    if queue_first {
        // Else the compiler would make one load of the two, at an offset that is computed, which
        // the verifier refuses.
        Ptr::new(black_box(args.get(1)) as *const T)
    } else {
        args.ptr(0)
    }
}

/// Starts a request's time, unless it runs already.
#[inline(always)]
fn start<const DIRECT: bool>(request: Ptr<request, DIRECT>, queued: bool) -> Option<()> {
    if !is_on_wanted_disk(request) {
        return None;
    }
    let known = STARTS.get_ptr_mut(request.addr());
    let begun = Start { ns: now(), queued: u64::from(queued) };
    match known {
        // SAFETY: the map's value, aligned and valid as long as the program runs.
        Some(start) => unsafe {
            if (*start).queued == 0 {
                (*start).ns = begun.ns;
            }
            (*start).queued = begun.queued;
        },
        None if BY_OWNER.load() == 0 || take_owner(request) => remember(request.addr(), begun),
        None => {}
    }
    Some(())
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn remember(request: u64, start: Start) {
    if STARTS.insert(request, start, 0).is_err() {
        emit::lost();
    }
}

/// Whether a wanted owner submitted what a request was made for. Asking forgets it.
#[inline(always)]
fn take_owner<const DIRECT: bool>(request: Ptr<request, DIRECT>) -> bool {
    if BY_OWNER.load() == 0 || BTFA_block_io_start.load() != 0 {
        return false;
    }
    // What a request was made for is its first bio, or its last if others were put in front.
    [request.bio(), request.biotail()].iter().any(|bio| OWNED_BIOS.remove(bio.addr()).is_ok())
}

#[inline(always)]
fn is_on_wanted_disk<const DIRECT: bool>(request: Ptr<request, DIRECT>) -> bool {
    let wanted = DISK.load();
    wanted == 0 || wanted == request.disk().name()
}

/// The kind and the disk of a request, as far as the run tells them apart.
#[inline(always)]
fn key<const DIRECT: bool>(request: Ptr<request, DIRECT>) -> (u64, [u8; 16]) {
    let kind = if BY_FLAG.load() != 0 { kind(request.cmd_flags()) } else { 0 };
    let name = if BY_DISK.load() != 0 { request.disk().name() } else { 0 };
    (kind, name.to_ne_bytes())
}

macro_rules! kinds {
    (operations: $($operation:ident $_o:literal),*; flags: $($flag:ident $_f:literal),*) => {
        ::pastey::paste! {
            $(
                #[unsafe(no_mangle)]
                static [<BTFE_req_op__REQ_OP_ $operation>]: Global<u32> = Global::new(0);
                // The enum's name before 6.0.
                #[unsafe(no_mangle)]
                static [<BTFE_req_opf__REQ_OP_ $operation>]: Global<u32> = Global::new(0);
            )*
            $(
                #[unsafe(no_mangle)]
                static [<BTFE_req_flag_bits____REQ_ $flag>]: Global<u32> = Global::new(0);
            )*

            /// What kind of request the kernel's flags mean.
            #[inline(always)]
            fn kind(flags: u32) -> u64 {
                let (mut code, mut next) = (0, 1);
                for operation in [$(
                    [<BTFE_req_op__REQ_OP_ $operation>].load()
                        .min([<BTFE_req_opf__REQ_OP_ $operation>].load())
                ),*] {
                    if flags & OPERATION_MASK == operation {
                        code = next;
                    }
                    next += 1;
                }
                let (mut kind, mut at) = (code, FLAGS_FROM);
                for bit in [$([<BTFE_req_flag_bits____REQ_ $flag>].load()),*] {
                    // Without branches, each of which would double the verifier's paths. An absent
                    // flag is taken for bit 63, which is never set.
                    kind |= (u64::from(flags) >> (bit % u64::BITS) & 1) << at;
                    at += 1;
                }
                kind
            }
        }
    };
}
request_kinds!(kinds);

tracer_ebpf::object!();
