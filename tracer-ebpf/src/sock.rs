//! Sockets: their addresses, and those behind descriptors.

use tracer_common::sock::{AF_INET, AF_INET6, Addresses};

use crate::{
    kernel::{file, inet_sock, sock, socket},
    ptr::Ptr,
};

/// `IPPROTO_TCP`
const IPPROTO_TCP: u16 = 6;
/// `S_IFMT` and `S_IFSOCK`
const MODE_TYPE: u16 = 0o170_000;
const MODE_SOCKET: u16 = 0o140_000;

/// `TCP_*` states, which are uapi.
pub mod state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const FIN_WAIT1: u8 = 4;
    pub const CLOSE: u8 = 7;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
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
