//! tcpretrans: TCP segments that are sent again.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use aya_ebpf::{Global, macros::map, maps::HashMap};
use tracer_common::tools::tcpretrans::{Counts, Event, FAST, Key, RTO, SYNACK, TLP};
use tracer_ebpf::{
    clock::now,
    counter, emit, interruptible_tracepoint,
    kernel::{inet_connection_sock, sock, tcp_sock},
    owner::{self, Socket},
    program::Args,
    ptr::Ptr,
    sock::{
        state::{CLOSE, NEW_SYN_RECV},
        wants,
    },
    socket_owners, tracepoint,
};

#[map]
static COUNTS: HashMap<Key, Counts> = HashMap::with_max_entries(1, counter::GROWS);

#[unsafe(no_mangle)]
static SUMMARY: Global<u32> = Global::new(0);
/// `tcp_retransmit_skb(sk, skb)` tells of segments that were sent; since Linux 6.16 or so
/// `tcp_retransmit_skb(sk, skb, err)` also of those that could not be.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
static BTFA_tcp_retransmit_skb: Global<u32> = Global::new(0);

/// The timer that is running is that of a tail-loss probe: `ICSK_TIME_LOSS_PROBE`.
const TIME_LOSS_PROBE: u8 = 5;

interruptible_tracepoint!(tcp_retransmit_skb => on_retransmit);
tracepoint!(tcp_retransmit_synack => on_synack);
interruptible_tracepoint!(inet_sock_set_state => on_state);
socket_owners!(|_| Some(()), |_| Some(()));

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn on_state<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    let new = args.get(2) as u8;
    if new == CLOSE {
        owner::forget(sk.addr());
    } else if sk.is_tcp() {
        owner::track(args.context(), sk.addr(), args.get(1) as u8, new)?;
    }
    Some(())
}

#[inline(always)]
fn on_retransmit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    if BTFA_tcp_retransmit_skb.load() > 2 && args.get(2) as i32 != 0 {
        return None;
    }
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    let connection: Ptr<inet_connection_sock, false> = sk.cast();
    let lost = sk.cast::<tcp_sock>().lost_out();
    let kind = if connection.icsk_pending() == TIME_LOSS_PROBE && lost == 0 {
        TLP
    } else if connection.icsk_retransmits() != 0 {
        RTO
    } else {
        FAST
    };
    tell(sk.addr(), sk.addr(), kind, sk.state())
}

/// `tcp_retransmit_synack(sk, req)`: the listener, and the connection to be, which begins like a socket.
#[inline(always)]
fn on_synack<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    tell(args.get(0), args.get(1), SYNACK, NEW_SYN_RECV)
}

#[inline(always)]
fn tell(owner: u64, ends: u64, kind: u32, state: u8) -> Option<()> {
    // SAFETY: a socket of zeroes is valid.
    let nobody: Socket = unsafe { MaybeUninit::zeroed().assume_init() };
    let socket = match owner::get(owner) {
        Some(socket) if socket.wanted == 0 => return None,
        Some(socket) => socket,
        None if owner::is_filtered() => return None,
        None => &nobody,
    };
    let ends: Ptr<sock, false> = Ptr::new(ends as *const sock);
    let mut addresses = ends.addresses();
    if kind == SYNACK {
        addresses.sport = ends.num();
    }
    if !wants(&addresses) {
        return None;
    }
    if SUMMARY.load() != 0 {
        let (comm, pid) = (socket.header.comm, socket.header.pid);
        return count(&Key { addresses, comm, pid, unused: 0 }, kind);
    }
    let mut event = Event { header: socket.header, addresses, kind, state: state.into() };
    event.header.ns = now();
    emit::send(&raw const event, size_of::<Event>());
    Some(())
}

#[inline(always)]
fn count(key: &Key, kind: u32) -> Option<()> {
    let counts = counter::of(&COUNTS, key)?;
    // SAFETY: the map's value, aligned and valid as long as the program runs.
    unsafe {
        counter::add(&raw mut (*counts).count, 1);
        if let Some(of_kind) = (*counts).kinds.get_mut(kind as usize) {
            counter::add(of_kind, 1);
        }
    }
    Some(())
}

tracer_ebpf::object!();
