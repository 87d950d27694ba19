//! memleak's keys and values.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::stack::Key;

/// Where memory begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Place {
    pub address: u64,
    /// Whose it is; 0 for the kernel's.
    pub pid: u32,
    /// Addresses of one kind are nothing to those of another.
    pub kind: u32,
}

/// A process's memory, or the kernel's small objects.
pub const OBJECT: u32 = 0;
/// The kernel's pages, by their descriptions.
pub const PAGES: u32 = 1;
/// Memory that each CPU has.
pub const PER_CPU: u32 = 2;

/// Memory that was allocated and not freed so far.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Allocation {
    /// When, by `CLOCK_MONOTONIC`.
    pub ns: u64,
    pub bytes: u64,
    /// Who did it.
    pub by: Key,
}

const _: () = assert!(size_of::<Place>() == 16 && size_of::<Allocation>() == 56);
