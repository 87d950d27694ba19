//! vfsstat's counters: one of each operation, in this order.

pub const READ: usize = 0;
pub const WRITE: usize = 1;
pub const FSYNC: usize = 2;
pub const OPEN: usize = 3;
pub const CREATE: usize = 4;
pub const UNLINK: usize = 5;
pub const MKDIR: usize = 6;
pub const RMDIR: usize = 7;

pub const OPERATIONS: usize = 8;
