//! syscount's keys and counters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::syscall::NUMBERS;

/// Slot of the first call of 32-bit programs, whose numbers are others than the native ones.
pub const COMPAT: u32 = NUMBERS as u32;
/// Slot of all numbers that are no system call's.
pub const OTHER: u32 = 2 * NUMBERS as u32;
/// Slots of counters by call.
pub const SLOTS: u32 = OTHER + 1;

/// What is counted of a system call, or of a process's calls.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counts {
    pub count: u64,
    pub errors: u64,
    /// Only with latency.
    pub total_ns: u64,
}

const _: () = assert!(size_of::<Counts>() == 24);
