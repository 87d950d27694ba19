//! opensnoop's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Header;

/// One open call; the path follows, NUL-terminated, as long as the record says.
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
    /// The directory a relative path starts from: a descriptor, or `AT_FDCWD`.
    pub dirfd: i32,
}

const _: () = assert!(size_of::<Event>() == 56);
