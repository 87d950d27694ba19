//! opensnoop's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Header;

/// Longest path that a call can be given, with its NUL (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;

/// One open call. The path as the caller gave it follows, with its NUL; then, if asked for, names
/// from the last to the first, each with its NUL (see [`Event::names`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    pub header: Header,
    /// The new descriptor, or the negated errno.
    pub ret: i32,
    /// `O_*`
    pub flags: u32,
    /// The mode asked for; only means something with `O_CREAT` or `O_TMPFILE`.
    pub mode: u32,
    /// Length of the caller's path with its NUL; 0 if it could not be read.
    pub path_len: u16,
    /// What the names after it are: [`NAMES_NONE`], [`NAMES_FILE`] or [`NAMES_BASE`].
    pub names: u16,
}

/// There are no names.
pub const NAMES_NONE: u16 = 0;
/// Those of the opened file's path.
pub const NAMES_FILE: u16 = 1;
/// Those of the directory that the caller's path starts from.
pub const NAMES_BASE: u16 = 2;
/// Added to these: the path is deeper than the names go.
pub const NAMES_CUT: u16 = 4;

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 16);
