//! What every event record begins with.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

#[cfg(target_arch = "bpf")]
use crate::stack::Stacks;

/// Length of a task's command name, with its final NUL (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;

/// When an event happened and who did it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Header {
    /// Where in its code, if rows show that. The kernel side sends it ahead of the record then, else not at all.
    #[cfg(target_arch = "bpf")]
    pub stacks: Stacks,
    /// `CLOCK_MONOTONIC`, nanoseconds; may be 0 where rows show no time.
    pub ns: u64,
    /// The process: the kernel's `tgid`.
    pub pid: u32,
    /// The thread: the kernel's `pid`.
    pub tid: u32,
    pub uid: u32,
    /// The record's kind where a tool has several; what each means is the tool's own.
    pub kind: u32,
    /// Command name, padded with NULs.
    pub comm: [u8; COMM_LEN],
}

#[cfg(not(target_arch = "bpf"))]
const _: () = assert!(size_of::<Header>() == 40);

impl Header {
    /// The command name without its padding.
    #[must_use]
    pub fn comm(&self) -> &[u8] {
        until_nul(&self.comm)
    }
}

/// The key of counters by process.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Process {
    pub pid: u32,
    /// Padded with NULs.
    pub comm: [u8; COMM_LEN],
}

const _: () = assert!(size_of::<Process>() == 20);

/// The bytes before the first NUL; all, if there is none.
#[must_use]
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}
