//! Whose TCP sockets are: who connected or accepted them, or had them open when tracing started.
//!
//! Most of what happens to a socket happens in interrupts, when the current thread is anybody's. So the
//! owner is noted when the socket comes to be, and asked for later.

use core::mem::MaybeUninit;

use aya_ebpf::{
    Global,
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::bpf_get_current_pid_tgid,
    macros::map,
    maps::HashMap,
};
use tracer_common::record::Header;

use crate::{
    clock::now,
    emit,
    filter::{self, Current},
    kernel::{file, sock, task_struct},
    program::{Args, Context},
    ptr::Ptr,
    sock::{
        state::{CLOSE, ESTABLISHED, FIN_WAIT1, LAST_ACK, LISTEN, SYN_RECV, SYN_SENT},
        tcp_sock_of,
    },
};

/// What is known of a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Socket {
    /// Its owner, with pid 0 if none is known. The time is its beginning, 0 if that was not seen, unless
    /// the tool has another use for it.
    pub header: Header,
    /// The owner is one that the run wants to see; or none is known and the run does not filter.
    pub wanted: u32,
    pub established: u32,
    /// It was connected here, not accepted.
    pub active: u32,
    /// The tool's own.
    pub note: u32,
}

/// Sockets that are connecting, connected or listening.
#[map]
static OWNED_SOCKETS: HashMap<u64, Socket> = HashMap::with_max_entries(1, 0);

/// The run filters by process, so that a socket without an owner is not wanted.
#[unsafe(no_mangle)]
static OWNER_FILTERS: Global<u32> = Global::new(0);

impl Socket {
    #[inline(always)]
    fn new(ns: u64, established: bool) -> Self {
        // SAFETY: a socket of zeroes is valid.
        let mut socket: Self = unsafe { MaybeUninit::zeroed().assume_init() };
        socket.header.ns = ns;
        socket.wanted = u32::from(!is_filtered());
        socket.established = u32::from(established);
        socket
    }

    #[inline(always)]
    #[must_use]
    pub fn is_owned(&self) -> bool {
        self.header.pid != 0
    }

    /// Makes the current thread its owner.
    #[inline(always)]
    pub fn own(&mut self, context: Context) {
        let id = bpf_get_current_pid_tgid();
        let ns = self.header.ns;
        emit::write_header(&mut self.header, context, Current { pid: (id >> 32) as u32, tid: id as u32 }, 0);
        self.header.ns = ns;
        self.wanted = u32::from(filter::current().is_some());
    }
}

#[inline(always)]
#[must_use]
pub fn is_filtered() -> bool {
    OWNER_FILTERS.load() != 0
}

/// What is known of a socket.
#[inline(always)]
#[must_use]
pub fn get(sk: u64) -> Option<&'static mut Socket> {
    // SAFETY: the map's value. A socket is locked when it changes, so nobody else writes it.
    OWNED_SOCKETS.get_ptr_mut(sk).map(|socket| unsafe { &mut *socket })
}

/// What is known of a socket, if only that it is there; none if the run filters and can't know its owner.
#[inline(always)]
#[must_use]
pub fn get_or_add(sk: u64) -> Option<&'static mut Socket> {
    match get(sk) {
        None if !is_filtered() => add(sk, 0, false),
        known => known,
    }
}

#[inline(always)]
fn add(sk: u64, ns: u64, established: bool) -> Option<&'static mut Socket> {
    if !insert(sk, ns, established) {
        emit::lost();
    }
    get(sk)
}

/// A function of its own, for the stack's sake.
#[inline(never)]
fn insert(sk: u64, ns: u64, established: bool) -> bool {
    OWNED_SOCKETS.insert(sk, Socket::new(ns, established), BPF_ANY.into()).is_ok()
}

/// A socket is closed.
#[inline(always)]
pub fn forget(sk: u64) {
    let _ = OWNED_SOCKETS.remove(sk);
}

/// `inet_sock_set_state(sk, oldstate, newstate)` of a TCP socket: notes what it tells. The tool itself calls
/// [`forget`] when it is done with a closed socket.
#[inline(always)]
pub fn track(context: Context, sk: u64, old: u8, new: u8) -> Option<&'static mut Socket> {
    match new {
        // The caller's context.
        SYN_SENT | LISTEN => {
            let socket = add(sk, now(), false)?;
            socket.own(context);
            socket.active = u32::from(new == SYN_SENT);
            Some(socket)
        }
        // The passive end: in an interrupt; accept(2) will say whose it is.
        SYN_RECV if old == LISTEN => add(sk, now(), false),
        ESTABLISHED => {
            let socket = match get(sk) {
                Some(socket) => socket,
                None => add(sk, now(), false)?,
            };
            socket.established = 1;
            Some(socket)
        }
        // close(2) or shutdown(2): in the context of whoever has the socket.
        FIN_WAIT1 | LAST_ACK => {
            let socket = get(sk)?;
            if !socket.is_owned() {
                socket.own(context);
            }
            Some(socket)
        }
        _ => get(sk),
    }
}

/// Whether a socket waits to be accepted, as far as is known.
#[inline(always)]
#[must_use]
pub fn waits(sk: u64) -> bool {
    get(sk).is_some_and(|socket| !socket.is_owned())
}

/// The current thread has accepted a socket, whose owner is known now.
#[inline(always)]
pub fn accepted(context: Context, sk: Ptr<sock, false>) -> Option<Ptr<sock, false>> {
    // One that was reset meanwhile is gone for good.
    if sk.state() == CLOSE {
        return None;
    }
    let socket = match get(sk.addr()) {
        Some(socket) => socket,
        // It was in the listener's queue when tracing started.
        None => add(sk.addr(), 0, true)?,
    };
    socket.own(context);
    Some(sk)
}

/// `bpf_iter__task_file { meta, task, fd, file }`: a socket that is open when tracing starts.
#[inline(always)]
pub fn open_file(args: Args<true>) -> Option<Ptr<sock, false>> {
    let task: Ptr<task_struct, false> = args.ptr::<task_struct>(1).by_helper();
    let file: Ptr<file, false> = args.ptr::<file>(3).by_helper();
    if task.is_null() || file.is_null() {
        return None;
    }
    let sk = tcp_sock_of(file);
    // Where several processes have a socket, one that is wanted is to be its owner.
    if sk.is_null() || sk.state() == CLOSE || !filter::task(task) {
        return None;
    }
    let mut socket = Socket::new(0, !matches!(sk.state(), SYN_SENT | LISTEN));
    socket.wanted = 1;
    let header = &mut socket.header;
    header.pid = task.pid() as u32;
    header.tid = task.tid() as u32;
    header.uid = task.cred().uid();
    header.comm = task.comm();
    // An entry that is there already is newer than ours, or a process's that has the same socket open.
    let _ = OWNED_SOCKETS.insert(sk.addr(), socket, BPF_NOEXIST.into());
    Some(sk)
}

/// Declares the programs that find owners: where sockets are accepted, and on open files. After that they call
/// `accepted` and `open`, each a `fn(Ptr<sock, false>) -> Option<()>`. The tool's own `inet_sock_set_state`
/// calls [`track`].
#[macro_export]
macro_rules! socket_owners {
    ($accepted:expr, $open:expr) => {
        #[inline(always)]
        fn on_accepted(
            context: $crate::program::Context,
            sk: $crate::ptr::Ptr<$crate::kernel::sock, false>,
            _: i64,
        ) -> Option<()> {
            $accepted($crate::owner::accepted(context, sk)?)
        }

        #[inline(always)]
        fn on_open_file(args: $crate::program::Args<true>) -> Option<()> {
            $open($crate::owner::open_file(args)?)
        }

        $crate::accepts!($crate::owner::waits => on_accepted);
        $crate::iterator!(task_file => on_open_file);
    };
}
