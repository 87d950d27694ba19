//! System calls that work on files: which there are, and the record of one that was slow.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{record::Header, syscall::NUMBERS};

/// What a call does, and how its arguments tell the file. 0 is any call that is not wanted.
pub mod call {
    /// Reads at the file's position.
    pub const READ: u8 = 1;
    /// Reads at an offset of its own.
    pub const READ_AT: u8 = 2;
    pub const WRITE: u8 = 3;
    pub const WRITE_AT: u8 = 4;
    pub const OPEN: u8 = 5;
    pub const FSYNC: u8 = 6;
    pub const FSTAT: u8 = 7;
    /// fstatat: works on a descriptor where its path is empty.
    pub const FSTATAT: u8 = 8;
    /// statx: as fstatat, with its flags elsewhere.
    pub const STATX: u8 = 9;
    /// `copy_file_range`: from a file to a file.
    pub const COPY: u8 = 10;
    /// Descriptor to write to, descriptor to read from.
    pub const SENDFILE: u8 = 11;
    pub const SPLICE: u8 = 12;
}

/// The operations that are told apart: the name of what each kind of call does.
pub const OPERATIONS: [&str; 13] = [
    "", "read", "read", "write", "write", "open", "fsync", "fstat", "fstat", "fstat", "copy", "sendfile",
    "splice",
];

/// (native number, that of 32-bit programs, what it does); `NONE` where there is no such number.
const CALLS: &[(u16, u16, u8)] = &[
    (0, 3, call::READ),
    (1, 4, call::WRITE),
    (2, 5, call::OPEN),
    (5, 108, call::FSTAT),
    (NONE, 197, call::FSTAT), // fstat64
    (17, 180, call::READ_AT),
    (18, 181, call::WRITE_AT),
    (19, 145, call::READ),  // readv
    (20, 146, call::WRITE), // writev
    (40, 187, call::SENDFILE),
    (NONE, 239, call::SENDFILE), // sendfile64
    (74, 118, call::FSYNC),
    (75, 148, call::FSYNC), // fdatasync
    (85, 8, call::OPEN),    // creat
    (257, 295, call::OPEN), // openat
    (262, 300, call::FSTATAT),
    (275, 313, call::SPLICE),
    (295, 333, call::READ_AT),  // preadv
    (296, 334, call::WRITE_AT), // pwritev
    (326, 377, call::COPY),
    (327, 378, call::READ_AT),  // preadv2
    (328, 379, call::WRITE_AT), // pwritev2
    (332, 383, call::STATX),
    (437, 437, call::OPEN), // openat2
];
const NONE: u16 = u16::MAX;

/// What each call does, by number; those of 32-bit programs come after the native ones.
pub type Calls = [u8; 2 * NUMBERS];

/// The calls of the wanted operations.
#[must_use]
pub fn calls(wanted: impl Fn(&str) -> bool) -> Calls {
    let mut calls = [0; 2 * NUMBERS];
    for &(native, compat, kind) in CALLS {
        if !wanted(OPERATIONS[usize::from(kind)]) {
            continue;
        }
        for (number, first) in [(native, 0), (compat, NUMBERS)] {
            if number != NONE {
                calls[first + usize::from(number)] = kind;
            }
        }
    }
    calls
}

/// Length of a file system type's name, with its NUL.
pub const FS_LEN: usize = 16;
/// File system types that can be chosen at a time.
pub const MAX_FS: u32 = 32;

/// The offset of what has none.
pub const NO_OFFSET: u64 = u64::MAX;

/// A slow call. The names of the file follow, as [`Names`] says.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// Its kind is one of [`call`].
    pub header: Header,
    pub latency_ns: u64,
    /// Where in the file it began; [`NO_OFFSET`] if nowhere.
    pub offset: u64,
    /// The result, or the negated errno.
    pub ret: i64,
    /// The file system type's name, padded with NULs.
    pub fs: [u8; FS_LEN],
    pub names: Names,
}

/// What is known of a file's name: this, and the names after it, from the last to the first, each
/// with its NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Names {
    /// The file's type and permissions.
    pub mode: u32,
    /// [`WHOLE`], [`CUT`] or [`BARE`]
    pub form: u32,
}

/// The names reach up to the root.
pub const WHOLE: u32 = 0;
/// The path is deeper than the names go.
pub const CUT: u32 = 1;
/// The file is in no directory: there is one name at most, which is no path.
pub const BARE: u32 = 2;

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 48);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_calls_only() {
        let calls = calls(|operation| operation == "fsync");
        assert_eq!(calls[74], call::FSYNC);
        assert_eq!(calls[NUMBERS + 148], call::FSYNC);
        assert_eq!(calls.iter().filter(|&&kind| kind != 0).count(), 4);
    }
}
