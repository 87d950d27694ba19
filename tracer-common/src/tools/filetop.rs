//! filetop's keys and counters, and what is told once of each key.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{file_io::Names, record::COMM_LEN};

/// Whose calls on which file, or by directory in which directory, whoever's they are.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key {
    /// Padded with NULs.
    pub comm: [u8; COMM_LEN],
    pub ino: u64,
    pub dev: u32,
    /// Tells a file from a later one with the same inode number.
    pub generation: u32,
    pub pid: u32,
    pub unused: u32,
}

/// Calls that succeeded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counts {
    pub reads: u64,
    pub writes: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
}

/// The name of a key's file, or directory, which follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Note {
    pub key: Key,
    pub names: Names,
}

const _: () = assert!(size_of::<Key>() == 40);
const _: () = assert!(size_of::<Counts>() == 32);
const _: () = assert!(size_of::<Note>() == 48);
