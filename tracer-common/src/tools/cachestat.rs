//! cachestat's counters, all of pages.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counts {
    /// Looked for, by reads and page faults.
    pub wanted: u64,
    /// Brought in for them.
    pub misses: u64,
    /// That became dirty.
    pub dirties: u64,
}

const _: () = assert!(size_of::<Counts>() == 24);
