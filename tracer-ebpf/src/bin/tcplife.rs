//! tcplife: TCP sessions, from the first packet or accept to their end.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use aya_ebpf::Global;
use tracer_common::tools::tcplife::Event;
use tracer_ebpf::{
    clock::now,
    emit, interruptible_tracepoint,
    kernel::{sock, tcp_sock},
    owner::{self, Socket},
    program::Args,
    ptr::Ptr,
    sock::{state::CLOSE, wants},
    socket_owners,
};

/// The kernel's `SOCK_DONE`: the other end has sent its FIN.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
static BTFE_sock_flags__SOCK_DONE: Global<u64> = Global::new(0);

interruptible_tracepoint!(inet_sock_set_state => on_state);
socket_owners!(|_| Some(()), |_| Some(()));

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn on_state<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    if !sk.is_tcp() {
        return None;
    }
    let new = args.get(2) as u8;
    let socket = owner::track(args.context(), sk.addr(), args.get(1) as u8, new)?;
    if new == CLOSE {
        report(sk, socket);
        owner::forget(sk.addr());
    }
    Some(())
}

#[inline(always)]
fn report<const DIRECT: bool>(sk: Ptr<sock, DIRECT>, socket: &Socket) {
    if socket.established == 0 || socket.wanted == 0 {
        return;
    }
    let addresses = sk.addresses();
    if !wants(&addresses) {
        return;
    }
    // SAFETY: an event of zeroes is valid.
    let mut event: Event = unsafe { MaybeUninit::zeroed().assume_init() };
    event.header = socket.header;
    event.start_ns = socket.header.ns;
    event.header.ns = now();
    event.addresses = addresses;
    let tcp: Ptr<tcp_sock, false> = sk.cast();
    event.tx_bytes = tcp.tx_bytes();
    // A FIN has a number in the sequence, like a byte.
    let fin = sk.flags() >> BTFE_sock_flags__SOCK_DONE.load() & 1;
    event.rx_bytes = tcp.bytes_received().saturating_sub(fin);
    emit::send(&raw const event, size_of::<Event>());
}

tracer_ebpf::object!();
