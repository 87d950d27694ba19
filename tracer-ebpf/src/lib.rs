//! What the kernel programs share. One tool's programs are in `src/bin/NAME.rs`.
#![no_std]
// core's own atomics want compare-and-swap, which BPF got only with 5.12; an addition it always had.
#![allow(internal_features, reason = "the intrinsic is the only way to an atomic addition")]
#![feature(core_intrinsics)]

pub mod accept;
pub mod block;
pub mod by_task;
pub mod call_time;
pub mod clock;
pub mod connect;
pub mod counter;
pub mod debug;
pub mod emit;
pub mod file_io;
pub mod filter;
pub mod follow;
pub mod hist;
pub mod kernel;
pub mod off_cpu;
pub mod opaque;
pub mod owner;
pub mod path;
pub mod program;
pub mod ptr;
pub mod runq;
pub mod since;
pub mod slow_file;
pub mod sock;
pub mod spans;
pub mod stack;
pub mod syscall;
pub mod syscall_names;
pub mod tally;
pub mod user;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Kernel programs have no panicking code; the verifier would refuse an endless loop.
    loop {}
}
