//! Active TCP connections under way.
//!
//! An attempt begins in the caller's context, when the socket's state becomes SYN_SENT; the local
//! port is chosen only after that.

use core::mem::MaybeUninit;

use aya_ebpf::{macros::map, maps::HashMap};
use tracer_common::{record::Header, sock::Addresses};

use crate::{clock::now, emit, filter, kernel::sock, program::Context, ptr::Ptr, sock::wants_remote};

/// When and by whom an attempt was begun, and between which ends; the local port is chosen later.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Attempt {
    pub header: Header,
    addresses: Addresses,
}

/// Attempts that have no result yet, by socket.
#[map]
static CONNECT_ATTEMPTS: HashMap<u64, Attempt> = HashMap::with_max_entries(8192, 0);

/// The socket whose connect(2) a thread is in.
#[map]
static CONNECT_CALLS: HashMap<u32, u64> = HashMap::with_max_entries(4096, 0);

pub const EINPROGRESS: i32 = 115;

/// An attempt of the current thread's, which reaches SYN_SENT.
#[inline(always)]
pub fn begin<const DIRECT: bool>(context: Context, sk: Ptr<sock, DIRECT>) -> Option<()> {
    // SAFETY: an attempt of zeroes is valid.
    let mut attempt: Attempt = unsafe { MaybeUninit::zeroed().assume_init() };
    attempt.addresses = sk.addresses();
    if !sk.is_tcp() || !wants_remote(&attempt.addresses) {
        return None;
    }
    let current = filter::current()?;
    emit::write_header(&mut attempt.header, context, current, 0);
    attempt.header.ns = now();
    if CONNECT_ATTEMPTS.insert(sk.addr(), attempt, 0).is_err()
        || CONNECT_CALLS.insert(current.tid, sk.addr(), 0).is_err()
    {
        emit::lost();
    }
    Some(())
}

/// The attempt of a socket that has no result yet.
#[inline(always)]
#[must_use]
pub fn attempt(sk: u64) -> Option<&'static Attempt> {
    // SAFETY: the map's value, which is written once.
    CONNECT_ATTEMPTS.get_ptr(sk).map(|attempt| unsafe { &*attempt })
}

impl Attempt {
    /// The ends, once the result is known.
    #[inline(always)]
    #[must_use]
    pub fn ends(&self, sk: u64) -> Addresses {
        let mut ends = Ptr::<sock, false>::new(sk as *const sock).addresses();
        // A connect(2) that fails by itself takes them back.
        if ends.dport == 0 {
            ends.dport = self.addresses.dport;
            ends.daddr = self.addresses.daddr;
        }
        ends
    }
}

/// An attempt's result is known.
#[inline(always)]
pub fn end(sk: u64) {
    let _ = CONNECT_ATTEMPTS.remove(sk);
}

/// Whether the current thread is in the connect(2) of this socket.
#[inline(always)]
pub fn is_caller(sk: u64) -> bool {
    let tid = aya_ebpf::helpers::bpf_get_current_pid_tgid() as u32;
    // SAFETY: only this thread's own calls write this value.
    unsafe { CONNECT_CALLS.get(tid) }.is_some_and(|&of| of == sk)
}

/// The socket whose connect(2) the current thread returns from.
#[inline(always)]
pub fn returned() -> Option<u64> {
    let tid = aya_ebpf::helpers::bpf_get_current_pid_tgid() as u32;
    // SAFETY: as above.
    let sk = unsafe { *CONNECT_CALLS.get(tid)? };
    let _ = CONNECT_CALLS.remove(tid);
    Some(sk)
}
