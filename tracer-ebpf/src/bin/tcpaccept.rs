//! tcpaccept: TCP connections as accept(2) returns them.
//!
//! A connection is established in an interrupt, long before anybody accepts it, so its states can't tell
//! who that is. They tell how long it waited.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use aya_ebpf::{bindings::BPF_ANY, macros::map, maps::LruHashMap};
use tracer_common::tools::tcpaccept::Event;
use tracer_ebpf::{
    accepts,
    clock::now,
    emit, filter, interruptible_tracepoint,
    kernel::sock,
    program::{Args, Context},
    ptr::Ptr,
    sock::{
        state::{CLOSE, ESTABLISHED, SYN_RECV},
        wants,
    },
};

/// When the sockets that wait to be accepted were established. Those that the run does not want stay here when
/// they are accepted, until they are closed or their place is needed.
#[map]
static QUEUED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(8192, 0);

interruptible_tracepoint!(inet_sock_set_state => on_state);
accepts!(waits => on_accepted);

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn on_state<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    match (args.get(1) as u8, args.get(2) as u8) {
        // Without room the wait is unknown, but the connection is still shown.
        (SYN_RECV, ESTABLISHED) if sk.is_tcp() => {
            let _ = QUEUED.insert(sk.addr(), now(), BPF_ANY.into());
        }
        (_, CLOSE) => {
            let _ = QUEUED.remove(sk.addr());
        }
        _ => {}
    }
    Some(())
}

#[inline(always)]
fn waits(sk: u64) -> bool {
    // SAFETY: the value is never read, only its presence matters.
    unsafe { QUEUED.get(sk) }.is_some()
}

#[inline(always)]
fn on_accepted(context: Context, sk: Ptr<sock, false>, fd: i64) -> Option<()> {
    let current = filter::current()?;
    let addresses = sk.addresses();
    // SAFETY: the value is written once.
    let since = unsafe { QUEUED.get(sk.addr()) }.copied();
    let _ = QUEUED.remove(sk.addr());
    if !wants(&addresses) {
        return None;
    }
    // SAFETY: an event of zeroes is valid.
    let mut event: Event = unsafe { MaybeUninit::zeroed().assume_init() };
    emit::write_header(&mut event.header, context, current, 0);
    event.addresses = addresses;
    event.queued_ns = since.map_or(0, |since| now().saturating_sub(since).max(1));
    event.fd = fd as i32;
    emit::send(&raw const event, size_of::<Event>());
    Some(())
}

tracer_ebpf::object!();
