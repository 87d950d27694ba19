//! Time without a CPU, by threads and by those that wake them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::stack::Key;

/// The state of threads that could run on, as a bit beside those of the kernel's states.
pub const RUNNING: u32 = 1 << 31;

/// Who slept, and who woke it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Pair {
    pub sleeper: Key,
    pub waker: Key,
}

const _: () = assert!(size_of::<Pair>() == 80);
