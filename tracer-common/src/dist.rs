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
