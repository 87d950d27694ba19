//! tcpaccept's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{record::Header, sock::Addresses};

/// One connection accepted.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    pub header: Header,
    pub addresses: Addresses,
    /// How long it was established before; 0 if that was not seen.
    pub queued_ns: u64,
    /// The new descriptor.
    pub fd: i32,
    pub unused: u32,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 56);
