//! biotop's keys and counters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::COMM_LEN;

/// Whose requests to which disk are counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key {
    /// 0 if nobody is known.
    pub pid: u32,
    /// The disk's device number.
    pub device: u32,
    /// Padded with NULs.
    pub comm: [u8; COMM_LEN],
    /// Padded with NULs; empty for requests to a controller.
    pub disk: [u8; 16],
}

const _: () = assert!(size_of::<Key>() == 40);

impl Key {
    /// The key of the histogram of latencies: its number, beside the command name.
    #[inline(always)]
    #[must_use]
    pub const fn id(&self) -> u64 {
        (self.pid as u64) << 32 | self.device as u64
    }
}

/// What is counted of requests.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counts {
    pub count: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub total_ns: u64,
}

const _: () = assert!(size_of::<Counts>() == 32);
