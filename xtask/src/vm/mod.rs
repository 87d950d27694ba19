//! The virtual machines of the test matrix.

mod bzimage;
mod cpio;
pub mod expected;
mod initramfs;
pub mod kernel;
mod modules;
pub mod qemu;
pub mod verdict;
