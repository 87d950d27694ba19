//! tcpconnect: active TCP connections.
//!
//! An attempt begins in the caller's context, when the socket's state becomes SYN_SENT; the local
//! port is chosen only after that. It is reported when connect(2) returns, or when the socket's
//! state tells the result, whichever comes first (a TCP Fast Open or io_uring attempt has no
//! connect(2) to return from).
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use aya_ebpf::{
    Global,
    macros::map,
    maps::{HashMap, PerCpuHashMap},
};
use tracer_common::{
    sock::{AF_INET, AF_INET6, Addresses},
    tools::tcpconnect::{Event, Key, MAX_PORTS},
};
use tracer_ebpf::{
    emit, filter,
    kernel::sock,
    program::Args,
    ptr::{Ptr, read_kernel},
    sock::state::{CLOSE, ESTABLISHED, SYN_SENT},
    syscall::{Call, number::CONNECT},
    tracepoint, tracepoint_record,
};

/// Attempts that have no result yet, by socket.
#[map]
static ATTEMPTS: HashMap<u64, Event> = HashMap::with_max_entries(8192, 0);

/// The socket whose connect(2) a thread is in.
#[map]
static CALLS: HashMap<u32, u64> = HashMap::with_max_entries(8192, 0);

/// Attempts by addresses, for the summary.
#[map]
static COUNTS: PerCpuHashMap<Key, u64> = PerCpuHashMap::with_max_entries(8192, 0);

/// Remote ports to show, if any are named.
#[map]
static PORTS: HashMap<u16, u8> = HashMap::with_max_entries(MAX_PORTS, 0);

#[unsafe(no_mangle)]
static FILTER_PORTS: Global<u32> = Global::new(0);
/// 4 or 6, or 0 for both.
#[unsafe(no_mangle)]
static IP_VERSION: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static FAILED_ONLY: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SUMMARY: Global<u32> = Global::new(0);
/// Where a record of `syscalls:sys_exit_connect` has its result.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
static TP_syscalls__sys_exit_connect__ret: Global<u32> = Global::new(8);

tracepoint!(inet_sock_set_state => on_state);
tracepoint!(sys_exit => on_exit);
tracepoint_record!(syscalls / sys_exit_connect => on_exit_record);

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn on_state<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    match (args.get(1) as u8, args.get(2) as u8) {
        (_, SYN_SENT) => begin(sk),
        (SYN_SENT, ESTABLISHED) => report(sk.addr(), 0),
        // Without an error, connect(2) itself gave up and will return the reason.
        (SYN_SENT, CLOSE) if sk.sk_err() != 0 => report(sk.addr(), sk.sk_err()),
        _ => None,
    }
}

#[inline(always)]
fn begin<const DIRECT: bool>(sk: Ptr<sock, DIRECT>) -> Option<()> {
    if !sk.is_tcp() || !wants(sk) {
        return None;
    }
    let current = filter::current()?;
    // SAFETY: an event of zeroes is valid.
    let mut event: Event = unsafe { MaybeUninit::zeroed().assume_init() };
    emit::write_header(&mut event.header, current, 0);
    if ATTEMPTS.insert(sk.addr(), event, 0).is_err() || CALLS.insert(current.tid, sk.addr(), 0).is_err() {
        emit::lost();
    }
    Some(())
}

#[inline(always)]
fn wants<const DIRECT: bool>(sk: Ptr<sock, DIRECT>) -> bool {
    let version = match sk.family() {
        AF_INET => 4,
        AF_INET6 if !is_mapped(&sk.v6_daddr()) => 6,
        _ => 4,
    };
    let wanted = IP_VERSION.load();
    // SAFETY: the value is never read, only its presence matters.
    (wanted == 0 || wanted == version)
        && (FILTER_PORTS.load() == 0 || unsafe { PORTS.get(u16::from_be(sk.dport())) }.is_some())
}

/// Whether an IPv6 address stands for an IPv4 one: `::ffff:a.b.c.d`.
#[inline(always)]
fn is_mapped(address: &[u8; 16]) -> bool {
    address[..10].iter().all(|&byte| byte == 0) && address[10] == 0xff && address[11] == 0xff
}

/// `sys_exit(regs, ret)`, where tracefs is not to be had.
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let call = Call::of(args, [CONNECT])?;
    returned(call.ret)
}

fn on_exit_record(record: *const u8) -> Option<()> {
    let offset = TP_syscalls__sys_exit_connect__ret.load() as usize;
    returned(read_kernel(record.wrapping_add(offset).cast()))
}

/// connect(2) returns to the current thread.
#[inline(always)]
fn returned(ret: i64) -> Option<()> {
    let tid = aya_ebpf::helpers::bpf_get_current_pid_tgid() as u32;
    // SAFETY: only this thread's own calls write this value.
    let sk = unsafe { *CALLS.get(tid)? };
    let _ = CALLS.remove(tid);
    // A connection that is under way is none that failed.
    let errno = if ret < 0 && ret != -EINPROGRESS { -ret as i32 } else { 0 };
    report(sk, errno)
}

const EINPROGRESS: i64 = 115;

/// Reports an attempt once.
#[inline(always)]
fn report(sk: u64, errno: i32) -> Option<()> {
    let attempt = ATTEMPTS.get_ptr_mut(sk)?;
    // SAFETY: the map's value; only the one report of this attempt writes it.
    let event = unsafe { &mut *attempt };
    event.addresses = Ptr::<sock, false>::new(sk as *const sock).addresses();
    event.errno = errno;
    if FAILED_ONLY.load() == 0 || errno != 0 {
        if SUMMARY.load() != 0 {
            count(event.addresses);
        } else {
            emit::send(event, size_of::<Event>());
        }
    }
    let _ = ATTEMPTS.remove(sk);
    Some(())
}

#[inline(always)]
fn count(addresses: Addresses) {
    let key = Key { sport: 0, ..addresses };
    if let Some(count) = COUNTS.get_ptr_mut(key) {
        // SAFETY: this CPU's own counter.
        unsafe { *count += 1 };
    } else if COUNTS.insert(key, 1, 0).is_err() {
        emit::lost();
    }
}

tracer_ebpf::object!();
