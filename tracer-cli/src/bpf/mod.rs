//! Loading kernel programs: object files, maps, hooks, and the ring buffer.
//!
//! aya's own loader parses the kernel's whole BTF before it does anything (13 ms and more), so
//! tracer takes aya-obj for ELF and relocations and speaks bpf(2) itself.

pub mod caps;
pub mod hook;
pub mod map;
pub mod object;
pub mod ring;
pub mod sys;
pub mod tracefs;
