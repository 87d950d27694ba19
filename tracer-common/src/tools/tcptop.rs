//! tcptop's keys and counters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{record::COMM_LEN, sock::Addresses};

/// What is counted apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key {
    pub addresses: Addresses,
    pub comm: [u8; COMM_LEN],
    pub pid: u32,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`
    pub protocol: u32,
}

const _: () = assert!(size_of::<Key>() == 64);

/// What is counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counts {
    pub tx_bytes: u64,
    pub rx_bytes: u64,
}

const _: () = assert!(size_of::<Counts>() == 16);
