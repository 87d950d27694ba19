//! tcpstates: TCP sockets' changes of state, one by one or counted.
//!
//! TIME_WAIT is no state that a socket enters: the kernel closes the socket and leaves a smaller thing in its
//! place, of which no tracepoint tells. But it does so only out of FIN_WAIT2 and CLOSING, and all other ways
//! from there to CLOSE send a reset or leave an error.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use aya_ebpf::{Global, bindings::BPF_ANY, macros::map, maps::HashMap};
use tracer_common::tools::tcpstates::{Counts, Event, Key};
use tracer_ebpf::{
    clock::now,
    counter, emit, interruptible_tracepoint,
    kernel::sock,
    owner::{self, Socket},
    program::Args,
    ptr::Ptr,
    sock::{
        state::{CLOSE, CLOSING, FIN_WAIT1, FIN_WAIT2, LAST_ACK, LISTEN, SYN_RECV, SYN_SENT, TIME_WAIT},
        wants,
    },
    socket_owners,
};

/// A change of state.
#[repr(C)]
#[derive(Clone, Copy)]
struct Change {
    ns: u64,
    /// When the old state began; 0 if that is not known.
    since: u64,
    old: u32,
    new: u32,
}

/// A socket can't change more often before its owner is known.
const MAX_HELD: usize = 3;

/// Changes of a socket whose owner is not known yet.
#[repr(C)]
#[derive(Clone, Copy)]
struct Held {
    count: u64,
    changes: [Change; MAX_HELD],
}

#[map]
static HELD: HashMap<u64, Held> = HashMap::with_max_entries(1, 0);
#[map]
static COUNTS: HashMap<Key, Counts> = HashMap::with_max_entries(1, counter::GROWS);

/// Owners matter, so a change waits until its socket's is known.
#[unsafe(no_mangle)]
static HOLD: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SUMMARY: Global<u32> = Global::new(0);

/// Of [`Socket::note`]: a reset was sent.
const RESET: u32 = 1;
/// It was counted as TIME_WAIT, from the state in the higher bits.
const WAITS: u32 = 2;

/// In place of a duration.
const CANCELLED: u64 = u64::MAX;

interruptible_tracepoint!(inet_sock_set_state => on_state);
interruptible_tracepoint!(tcp_send_reset => on_reset);
interruptible_tracepoint!(tcp_destroy_sock => on_destroy);
socket_owners!(on_owner, |_| Some(()));

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn on_state<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    let (old, new) = (args.get(1) as u8, args.get(2) as u8);
    // close(2) after shutdown(2) puts a socket where it is already.
    if old == new || !sk.is_tcp() {
        return None;
    }
    let begins = matches!(new, SYN_SENT | LISTEN) || (old == LISTEN && new == SYN_RECV);
    let since = if begins { 0 } else { owner::get(sk.addr()).map_or(0, |socket| socket.header.ns) };
    let socket = match owner::track(args.context(), sk.addr(), old, new) {
        Some(socket) => socket,
        None => owner::get_or_add(sk.addr())?,
    };
    if matches!(new, FIN_WAIT1 | LAST_ACK) {
        // Who closes need not be who connected.
        socket.own(args.context());
    }
    let change = Change { ns: now(), since, old: old.into(), new: new.into() };
    socket.header.ns = change.ns;
    if HOLD.load() != 0 {
        if !socket.is_owned() && new != CLOSE {
            return hold(sk.addr(), &change);
        }
        release(sk.addr(), socket);
    }
    tell(sk.addr(), socket, &change);
    // For the summary, a reset may follow.
    if new == CLOSE && SUMMARY.load() == 0 {
        owner::forget(sk.addr());
    }
    Some(())
}

/// A socket has got an owner.
#[inline(always)]
fn on_owner(sk: Ptr<sock, false>) -> Option<()> {
    if HOLD.load() != 0 {
        release(sk.addr(), owner::get(sk.addr())?);
    }
    Some(())
}

/// A function of its own, as others here, for the stack's sake.
#[inline(never)]
fn hold(sk: u64, change: &Change) -> Option<()> {
    if let Some(held) = HELD.get_ptr_mut(sk) {
        // SAFETY: the map's value; the socket is locked.
        let held = unsafe { &mut *held };
        if let Some(place) = held.changes.get_mut(held.count as usize) {
            *place = *change;
            held.count += 1;
        } else {
            emit::lost();
        }
    } else if HELD.insert(sk, Held { count: 1, changes: [*change; MAX_HELD] }, BPF_ANY.into()).is_err() {
        emit::lost();
    }
    Some(())
}

/// Tells what was held back.
#[inline(always)]
fn release(sk: u64, socket: &mut Socket) {
    let Some(held) = HELD.get_ptr(sk) else { return };
    // accept(2) does not lock the socket as it returns: should it change at the same moment, one of both tells.
    if HELD.remove(sk).is_err() {
        return;
    }
    // SAFETY: the map's value, whose place may get another at worst.
    let held = unsafe { &*held };
    for (index, change) in held.changes.iter().enumerate() {
        if (index as u64) < held.count {
            tell(sk, socket, change);
        }
    }
}

#[inline(always)]
fn tell(sk: u64, socket: &mut Socket, change: &Change) {
    if socket.wanted == 0 {
        return;
    }
    if SUMMARY.load() == 0 {
        return show(sk, socket, change);
    }
    let duration_ns = duration_ns(change);
    if waits(sk, socket, change) {
        socket.note |= WAITS | change.old << 8;
        count(sk, socket, change.old, TIME_WAIT.into(), duration_ns);
    } else {
        count(sk, socket, change.old, change.new, duration_ns);
    }
}

#[inline(always)]
fn duration_ns(change: &Change) -> u64 {
    if change.since == 0 { 0 } else { change.ns.saturating_sub(change.since) }
}

#[inline(never)]
fn show(sk: u64, socket: &Socket, change: &Change) {
    let Change { old, new, .. } = *change;
    let mut event = Event {
        header: socket.header,
        addresses: socket_at(sk).addresses(),
        duration_ns: duration_ns(change),
        old,
        new,
    };
    event.header.ns = change.ns;
    if wants(&event.addresses) {
        emit::send(&raw const event, size_of::<Event>());
    }
}

#[inline(always)]
fn socket_at(sk: u64) -> Ptr<sock, false> {
    Ptr::new(sk as *const sock)
}

/// Whether a socket leaves a TIME_WAIT behind.
#[inline(always)]
fn waits(sk: u64, socket: &Socket, change: &Change) -> bool {
    change.new == CLOSE.into()
        && (change.old == FIN_WAIT2.into() || change.old == CLOSING.into())
        && socket.note & RESET == 0
        && socket_at(sk).sk_err() == 0
}

/// Counts a change; one that is [`CANCELLED`] for a change that was counted and is none.
#[inline(never)]
fn count(sk: u64, socket: &Socket, old: u32, new: u32, duration_ns: u64) {
    let mut key = Key {
        addresses: socket_at(sk).addresses(),
        comm: socket.header.comm,
        pid: socket.header.pid,
        old: old as u16,
        new: new as u16,
    };
    if !wants(&key.addresses) {
        return;
    }
    if new != TIME_WAIT.into() {
        // SAFETY: addresses of zeroes are valid.
        key.addresses = unsafe { MaybeUninit::zeroed().assume_init() };
    } else {
        key.addresses.saddr = [0; 16];
        // The other port is different each time.
        if socket.active != 0 {
            key.addresses.sport = 0;
        } else {
            key.addresses.dport = 0;
        }
    }
    let Some(counts) = counter::of(&COUNTS, &key) else { return };
    // SAFETY: the map's value, aligned and valid as long as the program runs.
    unsafe {
        if duration_ns == CANCELLED {
            counter::add(&raw mut (*counts).cancelled, 1);
            return;
        }
        counter::add(&raw mut (*counts).count, 1);
        if duration_ns != 0 {
            counter::add(&raw mut (*counts).timed, 1);
            counter::add(&raw mut (*counts).total_ns, duration_ns);
        }
    }
}

/// `tcp_send_reset(sk, skb, ...)`: before a socket is closed, or right after. Then no TIME_WAIT was left.
#[inline(always)]
fn on_reset<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    let socket = owner::get(sk.addr())?;
    if socket.note & WAITS != 0 {
        let old = socket.note >> 8;
        count(sk.addr(), socket, old, TIME_WAIT.into(), CANCELLED);
        count(sk.addr(), socket, old, CLOSE.into(), 0);
    }
    socket.note = RESET;
    Some(())
}

/// `tcp_destroy_sock(sk)`
#[inline(always)]
fn on_destroy<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    owner::forget(args.get(0));
    Some(())
}

tracer_ebpf::object!();
