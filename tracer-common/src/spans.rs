//! Spans of time that CPUs spend in something, such as interrupts.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is counted of the spans of one kind.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counts {
    pub count: u64,
    /// 0 if only the count was asked for.
    pub total_ns: u64,
}

const _: () = assert!(size_of::<Counts>() == 16);

/// Any CPU.
pub const ALL_CPUS: u32 = u32::MAX;
