//! exitsnoop's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Header;

/// The end of a process, or of a thread.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    pub header: Header,
    /// When it was started, on the header's clock.
    pub start_ns: u64,
    pub ppid: u32,
    /// As wait(2) tells it.
    pub status: u32,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 16);

impl Event {
    /// The code it ended with, unless a signal ended it.
    #[must_use]
    pub const fn code(&self) -> Option<u8> {
        if self.signal() == 0 { Some((self.status >> 8) as u8) } else { None }
    }

    /// The signal that ended it; 0 if none did.
    #[must_use]
    pub const fn signal(&self) -> u32 {
        self.status & 0x7f
    }

    /// Whether it left a core dump.
    #[must_use]
    pub const fn dumped_core(&self) -> bool {
        self.status & 0x80 != 0
    }
}
