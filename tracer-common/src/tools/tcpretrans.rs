//! tcpretrans' record, and its summary's keys and counters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    record::{COMM_LEN, Header},
    sock::Addresses,
};

/// After a retransmission timeout, or by its timer.
pub const RTO: u32 = 0;
/// On an acknowledgement that tells of a loss.
pub const FAST: u32 = 1;
/// A tail-loss probe.
pub const TLP: u32 = 2;
/// The answer to a SYN.
pub const SYNACK: u32 = 3;

/// One segment sent again.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// When, and whose the socket is; pid 0 where that is not known.
    pub header: Header,
    pub addresses: Addresses,
    pub kind: u32,
    /// The socket's state.
    pub state: u32,
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 48);

/// What the summary counts apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key {
    pub addresses: Addresses,
    pub comm: [u8; COMM_LEN],
    pub pid: u32,
    pub unused: u32,
}

const _: () = assert!(size_of::<Key>() == 64);

/// What the summary counts.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counts {
    pub count: u64,
    /// By kind.
    pub kinds: [u64; 4],
}

const _: () = assert!(size_of::<Counts>() == 40);
