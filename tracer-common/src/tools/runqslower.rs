//! runqslower's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::{COMM_LEN, Header};

/// A wait for a CPU that took long; the header is of the thread that waited.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    pub header: Header,
    pub latency_ns: u64,
    /// The CPU that the thread came to run on.
    pub cpu: u32,
    /// Who had this CPU till then.
    pub prev_pid: u32,
    pub prev_tid: u32,
    pub unused: u32,
    pub prev_comm: [u8; COMM_LEN],
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 40);
