//! tcplife's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{record::Header, sock::Addresses};

/// One session that has ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// When it ended, and whose it was; pid 0 where nobody accepted it.
    pub header: Header,
    pub addresses: Addresses,
    /// When it began; 0 if it was open when tracing started.
    pub start_ns: u64,
    pub tx_bytes: u64,
    pub rx_bytes: u64,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 64);
