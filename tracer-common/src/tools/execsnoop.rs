//! execsnoop's records.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Header;

/// Bytes of arguments that a record holds at most; longer argument lists come in several.
pub const CHUNK: usize = 16384;
/// Records that one exec makes at most: 2 MB of arguments, the kernel's own default limit.
pub const MAX_CHUNKS: usize = 128;

/// The first record of an exec; arguments follow, each with its NUL.
pub const KIND_EXEC: u32 = 0;
/// More arguments of the same thread's last exec.
pub const KIND_MORE: u32 = 1;

/// An exec, or a part of its arguments, which follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    pub header: Header,
    pub ppid: u32,
    /// 0, or the negated errno.
    pub ret: i32,
    /// Bytes of arguments that records after this one hold.
    pub left: u32,
    /// The arguments could not all be read.
    pub cut: u32,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 16);
