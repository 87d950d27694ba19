//! The layouts that tracer's kernel programs and its user side share.
//!
//! Everything here is `#[repr(C)]`, has no padding (zerocopy's `IntoBytes` refuses it, so that no
//! kernel memory leaks through a gap) and is read on the user side straight from the ring buffer.
#![no_std]

pub mod block;
pub mod dist;
pub mod file_io;
pub mod filter;
pub mod histogram;
pub mod off_cpu;
pub mod record;
pub mod sock;
pub mod spans;
pub mod stack;
pub mod syscall;
pub mod tools;
