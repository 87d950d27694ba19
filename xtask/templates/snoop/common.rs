//! @name@'s record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Header;

/// One event.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    pub header: Header,
    pub ppid: u32,
    pub unused: u32,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 8);
