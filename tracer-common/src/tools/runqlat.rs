//! What runqlat's histograms are of.

/// One of all waits.
pub const ALL: u32 = 0;
pub const BY_PROCESS: u32 = 1;
pub const BY_THREAD: u32 = 2;
pub const BY_CPU: u32 = 3;
pub const BY_PIDNS: u32 = 4;
