//! What tracer reads of the running system besides its kernel.

pub mod cgroup;
pub mod mapping;
pub mod users;
