//! Keyed histograms: a counter for each key and slot that occurs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Whose histogram, and which slot of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key {
    /// A number that tells keys apart: a pid, a CPU, a device.
    pub id: u64,
    /// A name that belongs to it, padded with NULs.
    pub name: [u8; 16],
    /// [`crate::histogram::slot`] of the value.
    pub slot: u32,
    pub unused: u32,
}

const _: () = assert!(size_of::<Key>() == 32);

/// What the histograms of a tool that looks at threads are of.
pub mod by_task {
    /// One of all.
    pub const ALL: u32 = 0;
    pub const PROCESS: u32 = 1;
    pub const THREAD: u32 = 2;
    pub const CPU: u32 = 3;
    pub const PIDNS: u32 = 4;
}
