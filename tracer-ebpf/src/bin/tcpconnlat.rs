//! tcpconnlat: how long active TCP connections take to be established, or to fail.
#![no_std]
#![no_main]

use aya_ebpf::Global;
use tracer_common::tools::tcpconnlat::Event;
use tracer_ebpf::{
    clock::now,
    connect::{self, EINPROGRESS},
    emit, interruptible_tracepoint,
    kernel::sock,
    program::{Args, Context},
    ptr::Ptr,
    sock::{
        state::{CLOSE, ESTABLISHED, SYN_SENT},
        wants,
    },
    syscall_returns,
};

const EINTR: i32 = 4;
const ECANCELED: i32 = 125;
/// The kernel's own, which a signal handler may turn into a second call.
const ERESTARTSYS: i32 = 512;

#[unsafe(no_mangle)]
static MIN_NS: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static FAILED_ONLY: Global<u32> = Global::new(0);

interruptible_tracepoint!(inet_sock_set_state => on_state);
syscall_returns!(on_return: connect = CONNECT);

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn on_state<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    match args.get(2) as u8 {
        SYN_SENT => connect::begin(args.context(), sk),
        ESTABLISHED => report(sk.addr(), 0),
        CLOSE => match sk.sk_err() {
            // connect(2) gives up by itself, and will return the reason.
            0 if connect::is_caller(sk.addr()) => None,
            0 => report(sk.addr(), ECANCELED),
            error => report(sk.addr(), error),
        },
        _ => None,
    }
}

/// connect(2) returns. Its attempt has a result already, or is still under way, or never really began.
#[inline(always)]
fn on_return(_: Context, ret: i64) -> Option<()> {
    let sk = connect::returned()?;
    match ret.min(0).wrapping_neg() as i32 {
        0 | EINPROGRESS | EINTR | ERESTARTSYS => None,
        error => report(sk, error),
    }
}

/// Reports an attempt once.
#[inline(always)]
fn report(sk: u64, errno: i32) -> Option<()> {
    let attempt = connect::attempt(sk)?;
    let now = now();
    let latency_ns = now.saturating_sub(attempt.header.ns);
    if latency_ns >= MIN_NS.load() && (FAILED_ONLY.load() == 0 || errno != 0) {
        let mut event =
            Event { header: attempt.header, addresses: attempt.ends(sk), latency_ns, errno, unused: 0 };
        event.header.ns = now;
        if wants(&event.addresses) {
            emit::send(&raw const event, size_of::<Event>());
        }
    }
    connect::end(sk);
    Some(())
}

tracer_ebpf::object!();
