//! tcplife: TCP sessions, from the first packet or accept to their end.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use aya_ebpf::{
    Global,
    bindings::{BPF_ANY, BPF_NOEXIST},
    macros::map,
    maps::HashMap,
};
use tracer_common::tools::tcplife::Event;
use tracer_ebpf::{
    clock::now,
    emit,
    filter::{self, Current},
    iterator,
    kernel::{file, sock, task_struct, tcp_sock},
    path::file_of,
    program::Args,
    ptr::{Ptr, read_kernel},
    sock::{
        state::{CLOSE, ESTABLISHED, FIN_WAIT1, LAST_ACK, LISTEN, SYN_SENT},
        tcp_sock_of,
    },
    syscall::{
        Call, current_task,
        number::{ACCEPT, ACCEPT4},
    },
    tracepoint, tracepoint_record,
};

/// A session that is open.
#[repr(C)]
#[derive(Clone, Copy)]
struct Session {
    /// Its start, and its owner if one is known (pid not 0).
    event: Event,
    established: u32,
    /// The owner is one that the run wants to see; or none is known and the run does not filter.
    wanted: u32,
}

/// Sessions that are open, by socket.
#[map]
static SESSIONS: HashMap<u64, Session> = HashMap::with_max_entries(16384, 0);

/// The run filters by process, so that a session without an owner is not wanted.
#[unsafe(no_mangle)]
static FILTERS: Global<u32> = Global::new(0);
/// The kernel's `SOCK_DONE`: the other end has sent its FIN.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
static BTFE_sock_flags__SOCK_DONE: Global<u64> = Global::new(0);
/// Where the records of `syscalls:sys_exit_accept*` have their result.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
static TP_syscalls__sys_exit_accept__ret: Global<u32> = Global::new(8);
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
static TP_syscalls__sys_exit_accept4__ret: Global<u32> = Global::new(8);

tracepoint!(inet_sock_set_state => on_state);
tracepoint!(sys_exit => on_exit);
tracepoint_record!(syscalls / sys_exit_accept => on_accept);
tracepoint_record!(syscalls / sys_exit_accept4 => on_accept4);
iterator!(task_file => on_open_file);

/// A session as it begins; without an owner for now.
#[inline(always)]
fn session(start_ns: u64, established: bool) -> Session {
    // SAFETY: a session of zeroes is valid.
    let mut session: Session = unsafe { MaybeUninit::zeroed().assume_init() };
    session.event.start_ns = start_ns;
    session.established = u32::from(established);
    session.wanted = u32::from(FILTERS.load() == 0);
    session
}

#[inline(always)]
fn remember(sk: u64, session: &Session, flags: u32) {
    // An entry that BPF_NOEXIST finds is newer than ours.
    if SESSIONS.insert(sk, session, flags.into()).is_err() && flags == BPF_ANY {
        emit::lost();
    }
}

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn on_state<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let sk: Ptr<sock, DIRECT> = args.ptr(0);
    let (old, new) = (args.get(1) as u8, args.get(2) as u8);
    if old == LISTEN || new == LISTEN || !sk.is_tcp() {
        return None;
    }
    let address = sk.addr();
    match new {
        SYN_SENT => {
            // The caller's context.
            let mut session = session(now(), false);
            own(&mut session);
            remember(address, &session, BPF_ANY);
        }
        ESTABLISHED => match SESSIONS.get_ptr_mut(address) {
            // SAFETY: the map's value, which nobody else writes at this point of its life.
            Some(session) => unsafe { (*session).established = 1 },
            // The passive end: in an interrupt; accept(2) will say whose it is.
            None => remember(address, &session(now(), true), BPF_ANY),
        },
        // close(2) or shutdown(2): in the context of whoever has the socket, unless it is a
        // kernel thread that cleans up.
        FIN_WAIT1 | LAST_ACK => {
            if let Some(session) = SESSIONS.get_ptr_mut(address) {
                // SAFETY: as above.
                let session = unsafe { &mut *session };
                if session.event.header.pid == 0 {
                    own(session);
                }
            }
        }
        CLOSE => end(sk)?,
        _ => {}
    }
    Some(())
}

/// Makes the current thread a session's owner, if the run wants to see it.
#[inline(always)]
fn own(session: &mut Session) {
    let wanted = filter::current();
    session.wanted = u32::from(wanted.is_some());
    let current = wanted.unwrap_or(Current { pid: 0, tid: 0 });
    emit::write_header(&mut session.event.header, current, 0);
}

#[inline(always)]
fn end<const DIRECT: bool>(sk: Ptr<sock, DIRECT>) -> Option<()> {
    let session = SESSIONS.get_ptr_mut(sk.addr())?;
    // SAFETY: the map's value; a socket is closed once.
    let session = unsafe { &mut *session };
    if session.established != 0 && session.wanted != 0 {
        let event = &mut session.event;
        event.header.ns = now();
        event.addresses = sk.addresses();
        let tcp: Ptr<tcp_sock, false> = sk.cast();
        event.tx_bytes = tcp.bytes_sent().wrapping_sub(tcp.bytes_retrans());
        // A FIN has a number in the sequence, like a byte.
        let fin = sk.flags() >> BTFE_sock_flags__SOCK_DONE.load() & 1;
        event.rx_bytes = tcp.bytes_received().saturating_sub(fin);
        emit::send(event, size_of::<Event>());
    }
    let _ = SESSIONS.remove(sk.addr());
    Some(())
}

/// `sys_exit(regs, ret)`, where tracefs is not to be had.
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let call = Call::of(args, [ACCEPT, ACCEPT4])?;
    accepted(call.ret)
}

fn on_accept(record: *const u8) -> Option<()> {
    accepted(read_kernel(record.wrapping_add(TP_syscalls__sys_exit_accept__ret.load() as usize).cast()))
}

fn on_accept4(record: *const u8) -> Option<()> {
    accepted(read_kernel(record.wrapping_add(TP_syscalls__sys_exit_accept4__ret.load() as usize).cast()))
}

/// accept(2) gave the current thread a session.
#[inline(always)]
fn accepted(fd: i64) -> Option<()> {
    if fd < 0 {
        return None;
    }
    let sk = tcp_sock_of(file_of(current_task(), fd as i32));
    let session = SESSIONS.get_ptr_mut(sk.addr())?;
    // SAFETY: the map's value; one thread accepts a session.
    own(unsafe { &mut *session });
    Some(())
}

/// `bpf_iter__task_file { meta, task, fd, file }`: a file that is open when tracing starts.
#[inline(always)]
fn on_open_file(args: Args<true>) -> Option<()> {
    let task: Ptr<task_struct, false> = args.ptr::<task_struct>(1).by_helper();
    let file: Ptr<file, false> = args.ptr::<file>(3).by_helper();
    if task.is_null() || file.is_null() {
        return None;
    }
    let sk = tcp_sock_of(file);
    if sk.is_null() || matches!(sk.state(), LISTEN | CLOSE) || !filter::task(task) {
        return None;
    }
    let mut session = session(0, sk.state() != SYN_SENT);
    session.wanted = 1;
    let header = &mut session.event.header;
    header.pid = task.pid() as u32;
    header.tid = task.tid() as u32;
    header.uid = task.cred().uid();
    header.comm = task.comm();
    remember(sk.addr(), &session, BPF_NOEXIST);
    Some(())
}

tracer_ebpf::object!();
