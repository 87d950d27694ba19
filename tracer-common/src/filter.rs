//! The in-kernel filter's switches: which conditions a run asks for.
//!
//! Each is a constant to the verifier, so that a condition nobody asked for costs nothing.

/// The process id is one of a set (or in the tree that is followed).
pub const PID: u32 = 1 << 0;
/// The thread id is one of a set.
pub const TID: u32 = 1 << 1;
/// The real user id is one of a set.
pub const UID: u32 = 1 << 2;
/// The command name matches one of the patterns.
pub const COMM: u32 = 1 << 3;
/// The task is in a cgroup v2 subtree.
pub const CGROUP: u32 = 1 << 4;
/// With [`PID`]: children of members become members.
pub const FOLLOW: u32 = 1 << 5;

/// Capacity of the id sets.
pub const MAX_IDS: u32 = 4096;
/// Capacity of the set of processes that `--follow` tracks at a time.
pub const MAX_FOLLOWED: u32 = 32768;

/// All command name patterns together: a bit a pattern character, and one a pattern's end.
pub const COMM_STATES: usize = 64;

/// Command name patterns (`*`, `?`) as a bit-parallel automaton: state `j` is bit `j`.
///
/// Matching a name is one table look-up and a few logical operations a character, without a
/// branch, which is what a verifier likes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CommPatterns {
    /// `accept[c]`: the states that byte `c` moves to their successor.
    pub accept: [u64; 256],
    /// States that stay active on any byte: those at a `*`.
    pub star: u64,
    /// States active before the first byte.
    pub start: u64,
    /// States that mean a match when the name ends.
    pub end: u64,
}

impl CommPatterns {
    /// One step: the states after byte `c`. A state before a `*` is merged with the one at it when
    /// the automaton is built, so there are no empty moves here.
    #[inline(always)]
    #[must_use]
    pub const fn step(states: u64, accept: u64, star: u64) -> u64 {
        ((states & accept) << 1) | (states & star)
    }
}
