//! tcpconnect's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{record::Header, sock::Addresses};

/// One connection attempt, once its result is known.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// When, and by whom, the attempt was begun.
    pub header: Header,
    pub addresses: Addresses,
    /// 0, or the errno.
    pub errno: i32,
    pub unused: u32,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 48);

/// The summary's key: the local port, different each time, is 0.
pub type Key = Addresses;
