//! tcptop: bytes by session and process.
//!
//! The kernel counts what a TCP socket sends and receives. So nothing is hooked where data flows: an iterator
//! reads the counters of all open sockets each time that rows are printed, and those of a socket that closes
//! in between are read then. UDP sockets have no such counters; their calls are hooked, if asked for.
#![no_std]
#![no_main]

use aya_ebpf::{
    Global,
    bindings::{BPF_ANY, BPF_NOEXIST},
    macros::map,
    maps::HashMap,
};
use tracer_common::{
    record::COMM_LEN,
    sock::{AF_INET, AF_INET6},
    tools::tcptop::{Counts, Key},
};
use tracer_ebpf::{
    counter, emit, filter, function_args, interruptible_tracepoint,
    kernel::{sock, tcp_sock},
    owner,
    program::Args,
    ptr::Ptr,
    sock::{
        IPPROTO_TCP, IPPROTO_UDP,
        state::{CLOSE, LISTEN},
        wants,
    },
    socket_owners, tracepoint,
};

#[map]
static COUNTS: HashMap<Key, Counts> = HashMap::with_max_entries(8192, counter::GROWS);

/// What a socket's counters were when they were last read.
#[map]
static READ: HashMap<u64, Counts> = HashMap::with_max_entries(1, counter::GROWS);

/// The kernel's `SOCK_DONE`: the other end has sent its FIN.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
static BTFE_sock_flags__SOCK_DONE: Global<u64> = Global::new(0);

const MSG_PEEK: u64 = 2;

interruptible_tracepoint!(inet_sock_set_state => on_state);
socket_owners!(|_| Some(()), on_open);
tracepoint!(sock_send_length => on_send);
tracepoint!(sock_recv_length => on_receive);
function_args!(udp_sendmsg => on_udp_send);
function_args!(udpv6_sendmsg => on_udpv6_send);
function_args!(skb_consume_udp => on_udp_receive);

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn on_state<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    let (old, new) = (args.get(1) as u8, args.get(2) as u8);
    if !sk.is_tcp() || new == LISTEN {
        return None;
    }
    if old == CLOSE || old == LISTEN {
        if READ.insert(sk.addr(), Counts::default(), BPF_ANY.into()).is_err() {
            emit::lost();
        }
    } else {
        // Also when it is closed but has something to send: the iterator does not see it any more.
        read(sk.by_helper());
    }
    if new == CLOSE {
        let _ = READ.remove(sk.addr());
        owner::forget(sk.addr());
    }
    owner::track(args.context(), sk.addr(), old, new).map(drop)
}

#[inline(always)]
fn on_open(sk: Ptr<sock, false>) -> Option<()> {
    if sk.state() == LISTEN { None } else { read(sk) }
}

/// Adds what a TCP socket's counters grew by.
#[inline(always)]
fn read(sk: Ptr<sock, false>) -> Option<()> {
    let tcp: Ptr<tcp_sock, false> = sk.cast();
    // A FIN has a number in the sequence, like a byte.
    let fin = sk.flags() >> BTFE_sock_flags__SOCK_DONE.load() & 1;
    let now = Counts { tx_bytes: tcp.tx_bytes(), rx_bytes: tcp.bytes_received().saturating_sub(fin) };
    let Some(last) = READ.get_ptr_mut(sk.addr()) else {
        // It was open before: what it has done so far does not count.
        if READ.insert(sk.addr(), now, BPF_NOEXIST.into()).is_err() {
            emit::lost();
        }
        return None;
    };
    // SAFETY: the map's value; should two threads read a socket at the same time, one growth counts twice at worst.
    let last = unsafe { &mut *last };
    let tx_bytes = growth(&mut last.tx_bytes, now.tx_bytes);
    let rx_bytes = growth(&mut last.rx_bytes, now.rx_bytes);
    let socket = owner::get(sk.addr())?;
    if socket.wanted == 0 {
        return None;
    }
    let (comm, pid) = (socket.header.comm, socket.header.pid);
    count(&Key { addresses: sk.addresses(), comm, pid, protocol: IPPROTO_TCP.into() }, tx_bytes, rx_bytes)
}

/// While a segment is being sent again, the difference of two counters goes up and down.
#[inline(always)]
fn growth(last: &mut u64, now: u64) -> u64 {
    let growth = now.saturating_sub(*last);
    *last += growth;
    growth
}

#[inline(always)]
fn count(key: &Key, tx_bytes: u64, rx_bytes: u64) -> Option<()> {
    if (tx_bytes == 0 && rx_bytes == 0) || !wants(&key.addresses) {
        return None;
    }
    let counts = counter::of(&COUNTS, key)?;
    // SAFETY: the map's value, aligned and valid as long as the program runs.
    unsafe {
        counter::add(&raw mut (*counts).tx_bytes, tx_bytes);
        counter::add(&raw mut (*counts).rx_bytes, rx_bytes);
    }
    Some(())
}

/// The current thread sends or receives on a socket.
#[inline(always)]
fn count_udp<const DIRECT: bool>(sk: Ptr<sock, DIRECT>, tx_bytes: i32, rx_bytes: i32) -> Option<()> {
    if sk.sk_protocol() != IPPROTO_UDP || !matches!(sk.family(), AF_INET | AF_INET6) {
        return None;
    }
    let current = filter::current()?;
    let mut key = Key {
        addresses: sk.addresses(),
        comm: [0; COMM_LEN],
        pid: current.pid,
        protocol: IPPROTO_UDP.into(),
    };
    emit::write_comm(&mut key.comm);
    count(&key, tx_bytes.max(0) as u64, rx_bytes.max(0) as u64)
}

/// `sock_send_length(sk, ret, flags)`
#[inline(always)]
fn on_send<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    count_udp(args.ptr(0), args.get(1) as i32, 0)
}

/// `sock_recv_length(sk, ret, flags)`
#[inline(always)]
fn on_receive<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    if args.get(2) & MSG_PEEK != 0 {
        return None;
    }
    count_udp(args.ptr(0), 0, args.get(1) as i32)
}

/// `udp_sendmsg(sk, msg, len)`, which IPv6 sockets get to for IPv4 peers by way of `udpv6_sendmsg`.
#[inline(always)]
fn on_udp_send<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    if sk.family() != AF_INET {
        return None;
    }
    count_udp(sk, args.get(2) as i32, 0)
}

/// `udpv6_sendmsg(sk, msg, len)`
#[inline(always)]
fn on_udpv6_send<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    count_udp(args.ptr(0), args.get(2) as i32, 0)
}

/// `skb_consume_udp(sk, skb, len)`; a negative length is that of a datagram only peeked at.
#[inline(always)]
fn on_udp_receive<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    count_udp(args.ptr(0), 0, args.get(2) as i32)
}

tracer_ebpf::object!();
