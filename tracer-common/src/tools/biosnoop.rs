//! biosnoop's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Header;

/// A block request that is complete.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// When it was complete, and who submitted it; pid, comm and the rest are zero if that is unknown.
    pub header: Header,
    /// When it was submitted; 0 if that is unknown.
    pub submitted_ns: u64,
    /// When it was given to the device.
    pub issued_ns: u64,
    /// See [`crate::block`].
    pub kind: u64,
    pub sector: u64,
    pub bytes: u32,
    /// As the kernel has it: a negated errno, or since 5.16 a `BLK_STS_*`.
    pub error: i32,
    /// Padded with NULs; empty for a request to a controller.
    pub disk: [u8; 16],
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 56);
