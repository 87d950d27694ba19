//! @name@'s record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Header;

/// One event that took long.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    pub header: Header,
    pub latency_ns: u64,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 8);
