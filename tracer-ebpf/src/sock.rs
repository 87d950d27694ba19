//! Sockets: their addresses, and those behind descriptors.

use aya_ebpf::{Global, macros::map, maps::HashMap};
use tracer_common::sock::{AF_INET, AF_INET6, Addresses, MAX_PORTS};

use crate::{
    kernel::{file, inet_sock, sock, socket},
    ptr::Ptr,
};

pub const IPPROTO_TCP: u16 = 6;
pub const IPPROTO_UDP: u16 = 17;
/// `S_IFMT` and `S_IFSOCK`
const MODE_TYPE: u16 = 0o170_000;
const MODE_SOCKET: u16 = 0o140_000;

/// `TCP_*` states, which are uapi.
pub mod state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
    pub const NEW_SYN_RECV: u8 = 12;
}

/// Ports to show, if any are named.
#[map]
static LOCAL_PORTS: HashMap<u16, u8> = HashMap::with_max_entries(MAX_PORTS, 0);
#[map]
static REMOTE_PORTS: HashMap<u16, u8> = HashMap::with_max_entries(MAX_PORTS, 0);

#[unsafe(no_mangle)]
static FILTER_LOCAL_PORTS: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static FILTER_REMOTE_PORTS: Global<u32> = Global::new(0);
/// 4 or 6, or 0 for both.
#[unsafe(no_mangle)]
static IP_VERSION: Global<u32> = Global::new(0);

/// Whether the run wants to see what goes on between these ends.
#[inline(always)]
pub fn wants(ends: &Addresses) -> bool {
    // SAFETY: the value is never read, only its presence matters.
    let local = FILTER_LOCAL_PORTS.load() == 0 || unsafe { LOCAL_PORTS.get(ends.sport) }.is_some();
    local && wants_remote(ends)
}

/// The same where the local port is not known yet.
#[inline(always)]
pub fn wants_remote(ends: &Addresses) -> bool {
    let version = IP_VERSION.load();
    // SAFETY: as above.
    (version == 0 || version == ip_version(ends))
        && (FILTER_REMOTE_PORTS.load() == 0 || unsafe { REMOTE_PORTS.get(ends.dport) }.is_some())
}

/// An IPv6 address may stand for an IPv4 one: `::ffff:a.b.c.d`.
#[inline(always)]
fn ip_version(ends: &Addresses) -> u32 {
    let address = &ends.daddr;
    let is_mapped = address[..10].iter().all(|&byte| byte == 0) && address[10] == 0xff && address[11] == 0xff;
    if ends.family == AF_INET6 && !is_mapped { 6 } else { 4 }
}

impl<const DIRECT: bool> Ptr<sock, DIRECT> {
    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        self.sk_protocol() == IPPROTO_TCP && matches!(self.family(), AF_INET | AF_INET6)
    }

    /// Both ends. The local port is 0 until the socket is bound.
    #[inline(always)]
    pub fn addresses(self) -> Addresses {
        let mut addresses = Addresses {
            family: self.family(),
            // Not skc_num, which is 0 again when a socket's end is told.
            sport: u16::from_be(self.cast::<inet_sock>().inet_sport()),
            dport: u16::from_be(self.dport()),
            unused: 0,
            saddr: [0; 16],
            daddr: [0; 16],
        };
        if addresses.family == AF_INET6 {
            addresses.saddr = self.v6_rcv_saddr();
            addresses.daddr = self.v6_daddr();
        } else {
            addresses.saddr[..4].copy_from_slice(&self.rcv_saddr());
            addresses.daddr[..4].copy_from_slice(&self.daddr());
        }
        addresses
    }
}

/// The TCP socket behind an open file; null if it is none.
#[inline(always)]
pub fn tcp_sock_of(file: Ptr<file, false>) -> Ptr<sock, false> {
    let none = Ptr::new(core::ptr::null());
    if file.is_null() || file.f_inode().i_mode() & MODE_TYPE != MODE_SOCKET {
        return none;
    }
    let sk = file.private_data().cast::<socket>().sk();
    if !sk.is_null() && sk.is_tcp() { sk } else { none }
}
