//! Block requests, from whoever submitted them to their end.
#![allow(non_upper_case_globals, reason = "globals that ask for the kernel's values bear its names")]

use core::{hint::black_box, mem::MaybeUninit};

use aya_ebpf::{Global, macros::map, maps::HashMap};
use tracer_common::{block::FLAGS_FROM, record::Header, request_kinds};

use crate::{
    clock::now,
    counter, emit,
    filter::{self, Current},
    kernel::{bio, request},
    program::{Args, Context},
    ptr::Ptr,
};

/// The operation in a request's flags (`REQ_OP_MASK`).
const OPERATION_MASK: u32 = 0xff;

/// How far a request has got.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Progress {
    /// Who submitted what it was made for, and when; all zeroes if that was not seen.
    pub owner: Header,
    /// When it started; 0 if so far it only has an owner.
    pub ns: u64,
    pub sector: u64,
    pub bytes: u32,
    /// It is in the queue, for the first time or again: what follows continues this start.
    queued: u32,
}

/// Requests under way by address; if the run filters, those of wanted owners only.
#[map]
static REQUESTS: HashMap<u64, Progress> = HashMap::with_max_entries(1, 0);

/// The owners of bios that await their request, by address: for kernels without `block_io_start`.
#[map]
static BIO_OWNERS: HashMap<u64, Header> = HashMap::with_max_entries(1, counter::GROWS);

/// The run looks who submits.
#[unsafe(no_mangle)]
static SEES_OWNERS: Global<u32> = Global::new(0);
/// Only requests of wanted owners are wanted.
#[unsafe(no_mangle)]
static BY_OWNER: Global<u32> = Global::new(0);
/// The only disk wanted, by the first 16 bytes of its name; 0 for all.
#[unsafe(no_mangle)]
static DISK: Global<u128> = Global::new(0);

#[unsafe(no_mangle)]
static BTFA_block_io_start: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BTFA_block_rq_issue: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BTFA_block_getrq: Global<u32> = Global::new(0);

/// Puts the programs that follow requests on their tracepoints: on all but `block_rq_complete`,
/// which is the tool's own and asks [`completed`].
#[macro_export]
macro_rules! follow_requests {
    () => {
        use $crate::block::{on_getrq, on_insert, on_io_start, on_issue, on_merge, on_requeue};
        $crate::tracepoint!(block_io_start => on_io_start);
        $crate::tracepoint!(block_getrq => on_getrq);
        $crate::tracepoint!(block_rq_insert => on_insert);
        $crate::interruptible_tracepoint!(block_rq_issue => on_issue);
        $crate::tracepoint!(block_rq_requeue => on_requeue);
        $crate::tracepoint!(block_rq_merge => on_merge);
    };
}

/// A request was made for a bio, in its submitter's context.
#[inline(always)]
pub fn on_io_start<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let request: Ptr<request, DIRECT> = args.ptr(0);
    match filter::current() {
        Some(current) => {
            let mut progress = nothing();
            write_owner(&mut progress.owner, args.context(), current);
            remember(request.addr(), &progress);
        }
        // What was at this address before is no more.
        None => drop(REQUESTS.remove(request.addr())),
    }
    Some(())
}

/// A bio is about to get a request, in its submitter's context. (queue, bio, rw) before 5.11.
#[inline(always)]
pub fn on_getrq<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let bio = bio_of(args);
    let Some(current) = filter::current() else {
        let _ = BIO_OWNERS.remove(bio.addr());
        return None;
    };
    let mut owner = nothing().owner;
    write_owner(&mut owner, args.context(), current);
    if BIO_OWNERS.insert(bio.addr(), owner, 0).is_err() {
        emit::lost();
    }
    Some(())
}

#[inline(always)]
pub fn on_insert<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    start(request_of(args), true)
}

#[inline(always)]
pub fn on_issue<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    start(request_of(args), false)
}

/// A request goes back into the queue: its time runs on.
#[inline(always)]
pub fn on_requeue<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let progress = REQUESTS.get_ptr_mut(request_of(args).addr())?;
    // SAFETY: the map's value, aligned and valid as long as the program runs.
    unsafe { (*progress).queued = u32::from((*progress).ns != 0) };
    Some(())
}

/// A request became part of another one, and will not complete.
#[inline(always)]
pub fn on_merge<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let request = request_of(args);
    let _ = REQUESTS.remove(request.addr());
    take_owner(request);
    Some(())
}

/// The request that is complete, if it is wanted and was seen from its start. From the arguments of
/// `block_rq_complete`, (request, error, bytes done), which comes for each part of a request that is
/// completed in parts.
#[inline(always)]
pub fn completed<const DIRECT: bool>(args: Args<DIRECT>) -> Option<(Ptr<request, DIRECT>, Progress)> {
    let request: Ptr<request, DIRECT> = args.ptr(0);
    let Some(progress) = REQUESTS.get_ptr(request.addr()) else {
        take_owner(request);
        return None;
    };
    // SAFETY: the map's value; a request is in one place at a time, so nobody writes it now.
    let progress = unsafe { *progress };
    if (args.get(2) as u32) < request.data_len() {
        return None;
    }
    let _ = REQUESTS.remove(request.addr());
    (progress.ns != 0).then_some((request, progress))
}

/// The bio that `block_getrq` is about.
#[inline(always)]
pub fn bio_of<const DIRECT: bool>(args: Args<DIRECT>) -> Ptr<bio, DIRECT> {
    behind_queue(args, BTFA_block_getrq.load() == 3)
}

/// Whether the kernel tells of requests in their submitter's context.
#[inline(always)]
#[must_use]
pub fn starts_are_seen() -> bool {
    BTFA_block_io_start.load() != 0
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
    if let Some(progress) = REQUESTS.get_ptr_mut(request.addr()) {
        // SAFETY: the map's value, aligned and valid as long as the program runs.
        begin(unsafe { &mut *progress }, request, queued);
        return Some(());
    }
    let mut progress = nothing();
    if !take_owner_into(request, &mut progress.owner) && BY_OWNER.load() != 0 {
        return None;
    }
    begin(&mut progress, request, queued);
    remember(request.addr(), &progress);
    Some(())
}

#[inline(always)]
fn begin<const DIRECT: bool>(progress: &mut Progress, request: Ptr<request, DIRECT>, queued: bool) {
    if progress.queued == 0 {
        progress.ns = now();
    }
    progress.queued = u32::from(queued);
    // Until it is issued it grows by merging. Issued again, it may lack what is done already.
    let bytes = request.data_len();
    if bytes >= progress.bytes {
        progress.bytes = bytes;
        progress.sector = request.sector();
    }
}

#[inline(always)]
fn nothing() -> Progress {
    // SAFETY: numbers and arrays of them may be zero.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

#[inline(always)]
fn write_owner(owner: &mut Header, context: Context, current: Current) {
    emit::write_header(owner, context, current, 0);
    // Whether rows show it or not: a request's time in the queue is counted from it.
    owner.ns = now();
}

#[inline(always)]
fn remember(request: u64, progress: &Progress) {
    if REQUESTS.insert(request, progress, 0).is_err() {
        emit::lost();
    }
}

/// Forgets who submitted what a request was made for.
#[inline(always)]
fn take_owner<const DIRECT: bool>(request: Ptr<request, DIRECT>) {
    if are_owners_of_bios() {
        let _ = BIO_OWNERS.remove(request.bio().addr());
        let _ = BIO_OWNERS.remove(request.biotail().addr());
    }
}

/// Moves the owner of what a request was made for, if one is known.
#[inline(always)]
fn take_owner_into<const DIRECT: bool>(request: Ptr<request, DIRECT>, owner: &mut Header) -> bool {
    if !are_owners_of_bios() {
        return false;
    }
    // What a request was made for is its first bio, or its last if others were put in front.
    for bio in [request.bio().addr(), request.biotail().addr()] {
        if let Some(known) = BIO_OWNERS.get_ptr(bio) {
            // SAFETY: the map's value, which nobody writes while the bio has its request.
            *owner = unsafe { *known };
            let _ = BIO_OWNERS.remove(bio);
            return true;
        }
    }
    false
}

/// Whether owners are known by the bio, not by the request.
#[inline(always)]
fn are_owners_of_bios() -> bool {
    SEES_OWNERS.load() != 0 && !starts_are_seen()
}

#[inline(always)]
fn is_on_wanted_disk<const DIRECT: bool>(request: Ptr<request, DIRECT>) -> bool {
    let wanted = DISK.load();
    wanted == 0 || wanted == request.disk().name()
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
            #[must_use]
            pub fn kind(flags: u32) -> u64 {
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
