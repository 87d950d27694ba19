//! tcpstates' record, and its summary's keys and counters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    record::{COMM_LEN, Header},
    sock::Addresses,
};

/// One change of a socket's state.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// When it happened, and whose the socket is; pid 0 where that is not known.
    pub header: Header,
    pub addresses: Addresses,
    /// How long the socket was in the old state; 0 if that is not known.
    pub duration_ns: u64,
    pub old: u32,
    pub new: u32,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 56);

/// What the summary counts apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key {
    /// The remote address and the service's port, for TIME_WAIT only: else, and for the port that is
    /// different each time, they are 0.
    pub addresses: Addresses,
    pub comm: [u8; COMM_LEN],
    pub pid: u32,
    pub old: u16,
    pub new: u16,
}

const _: () = assert!(size_of::<Key>() == 64);

/// What the summary counts.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counts {
    pub count: u64,
    /// Those of them that turned out to be no such change.
    pub cancelled: u64,
    /// Those whose time in the old state is known.
    pub timed: u64,
    pub total_ns: u64,
}

const _: () = assert!(size_of::<Counts>() == 32);
