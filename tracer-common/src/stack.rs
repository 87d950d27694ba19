//! Stacks, and what tools count by them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Frames of a stack at most: what kernels give if nobody has told them otherwise.
pub const MAX_FRAMES: usize = 127;

/// The id of a stack that is none: a kernel thread's in user space, or one that was not asked for.
pub const NO_STACK: u64 = 0;
/// The id of a stack that found no room.
pub const LOST_STACK: u64 = u64::MAX;

/// The sides of the stacks that a run wants.
pub const USER: u32 = 1;
pub const KERNEL: u32 = 2;

/// Ids of the stacks of who caused an event.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Stacks {
    pub user: u64,
    pub kernel: u64,
}

impl Stacks {
    pub const NONE: Self = Self { user: NO_STACK, kernel: NO_STACK };
}

/// Whose stack, and which: what tools count by.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Key {
    /// Ids of stacks.
    pub user: u64,
    pub kernel: u64,
    pub pid: u32,
    /// 0 where all threads of a process count as one.
    pub tid: u32,
    pub comm: [u8; 16],
}

/// How often a stack was seen, and what it comes to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Weight {
    pub count: u64,
    /// In the tool's unit; unused where that is the count.
    pub total: u64,
}

/// What is told of a stack when it is first seen. Its frames follow, a word each, the innermost first.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Stack {
    pub id: u64,
    /// Whose it is; 0 for the kernel's.
    pub pid: u32,
    /// Its bytes.
    pub len: u32,
    /// Of a stack that is about to go, as its process executes another program: the process's parent, whose memory is
    /// that of a child that was just forked. Else 0.
    pub parent: u32,
    pub unused: u32,
}

const _: () = assert!(size_of::<Key>() == 40 && size_of::<Weight>() == 16 && size_of::<Stack>() == 24);
