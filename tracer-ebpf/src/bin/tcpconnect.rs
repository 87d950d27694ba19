//! tcpconnect: active TCP connections.
//!
//! An attempt begins in the caller's context, when the socket's state becomes SYN_SENT; the local
//! port is chosen only after that. It is reported when connect(2) returns, or when the socket's
//! state tells the result, whichever comes first (a TCP Fast Open or io_uring attempt has no
//! connect(2) to return from).
#![no_std]
#![no_main]

use aya_ebpf::{Global, macros::map, maps::PerCpuHashMap};
use tracer_common::{
    sock::Addresses,
    tools::tcpconnect::{Event, Key},
};
use tracer_ebpf::{
    connect::{self, EINPROGRESS},
    counter, emit, interruptible_tracepoint,
    kernel::sock,
    program::{Args, Context},
    ptr::Ptr,
    sock::state::{CLOSE, ESTABLISHED, SYN_SENT},
    syscall_returns, tally,
};

/// Attempts by addresses, for the summary.
#[map]
static COUNTS: PerCpuHashMap<Key, u64> = PerCpuHashMap::with_max_entries(1, counter::GROWS);

#[unsafe(no_mangle)]
static FAILED_ONLY: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SUMMARY: Global<u32> = Global::new(0);

interruptible_tracepoint!(inet_sock_set_state => on_state);
syscall_returns!(on_return: connect = CONNECT);

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn on_state<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    match (args.get(1) as u8, args.get(2) as u8) {
        (_, SYN_SENT) => connect::begin(args.context(), sk),
        (SYN_SENT, ESTABLISHED) => report(sk.addr(), 0),
        // Without an error, connect(2) itself gave up and will return the reason.
        (SYN_SENT, CLOSE) if sk.sk_err() != 0 => report(sk.addr(), sk.sk_err()),
        _ => None,
    }
}

#[inline(always)]
fn on_return(_: Context, ret: i64) -> Option<()> {
    let sk = connect::returned()?;
    let errno = ret.min(0).wrapping_neg() as i32;
    // A connection that is under way is none that failed.
    report(sk, if errno == EINPROGRESS { 0 } else { errno })
}

/// Reports an attempt once.
#[inline(always)]
fn report(sk: u64, errno: i32) -> Option<()> {
    let attempt = connect::attempt(sk)?;
    if FAILED_ONLY.load() == 0 || errno != 0 {
        let addresses = attempt.ends(sk);
        if SUMMARY.load() != 0 {
            count(addresses);
        } else {
            let event = Event { header: attempt.header, addresses, errno, unused: 0 };
            emit::send(&raw const event, size_of::<Event>());
        }
    }
    connect::end(sk);
    Some(())
}

#[inline(always)]
fn count(addresses: Addresses) {
    let key = Key { sport: 0, ..addresses };
    if let Some(count) = tally::of(&COUNTS, &key) {
        // SAFETY: this CPU's own counter.
        unsafe { *count += 1 };
    }
}

tracer_ebpf::object!();
