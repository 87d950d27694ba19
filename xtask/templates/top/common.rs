//! @name@'s key.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::COMM_LEN;

/// What is counted apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key {
    pub comm: [u8; COMM_LEN],
}

const _: () = assert!(size_of::<Key>() == 16);
