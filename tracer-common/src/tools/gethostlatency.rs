//! gethostlatency's record.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Header;

/// Room for a host's name with its NUL; one in DNS has 253 characters at most.
pub const HOST_LEN: usize = 256;

/// The functions that look up hosts; a record's kind is an index of these.
pub const FUNCTIONS: [&str; 5] =
    ["getaddrinfo", "gethostbyname", "gethostbyname2", "gethostbyname_r", "gethostbyname2_r"];
pub const GETADDRINFO: u32 = 0;
pub const GETHOSTBYNAME: u32 = 1;
pub const GETHOSTBYNAME2: u32 = 2;
pub const GETHOSTBYNAME_R: u32 = 3;
pub const GETHOSTBYNAME2_R: u32 = 4;

/// A lookup that is over. The record ends with the host's name.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    pub header: Header,
    pub latency_ns: u64,
    /// Of getaddrinfo the `EAI_*` error, of the others 1 if they failed; 0 for success.
    pub error: i32,
    /// Bytes of the name, with its NUL; 0 if there is none.
    pub host_len: u32,
    pub host: [u8; HOST_LEN],
}

const _: () = assert!(size_of::<Event>() == size_of::<Header>() + 16 + HOST_LEN);
