//! tcpconnlat's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{record::Header, sock::Addresses};

/// One connection attempt that has ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// When it ended, and who began it.
    pub header: Header,
    pub addresses: Addresses,
    pub latency_ns: u64,
    /// 0, or the errno; `ECANCELED` if the program closed the socket before there was an answer.
    pub errno: i32,
    pub unused: u32,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 56);
