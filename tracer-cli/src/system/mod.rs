//! What tracer reads of the running system besides its kernel.

pub mod allocators;
pub mod c_library;
pub mod cgroup;
pub mod container;
pub mod disks;
pub mod elf;
pub mod mapping;
pub mod meminfo;
pub mod names;
pub mod processes;
pub mod room;
pub mod syscalls;
pub mod users;
