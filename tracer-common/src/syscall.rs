//! System calls' names, as the kernel knows them.

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Native numbers are below this; those of 32-bit programs too.
pub const NUMBERS: usize = 512;

/// Length of a name with its NUL; the longest so far is `sys_set_mempolicy_home_node`.
pub const NAME_LEN: usize = 48;

/// The names of the native calls by number, and how far reading them has got.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
pub struct Names {
    /// The event with which reading began.
    pub first: u64,
    /// The event to go on with.
    pub next: u64,
    /// Padded with NULs; empty where there is no such call.
    pub names: [[u8; NAME_LEN]; NUMBERS],
}

const _: () = assert!(size_of::<Names>() == 16 + NAME_LEN * NUMBERS);

/// Events looked at in a run of the reading program. Kernels have some 2,000; but a run takes a few
/// microseconds, and the verifier, which follows every step, as many milliseconds for 64 of them.
pub const EVENTS_A_RUN: u32 = 16;

/// What the reading program returns: there are events left.
pub const MORE: u32 = 1;
