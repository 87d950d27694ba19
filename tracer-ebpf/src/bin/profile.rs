//! profile: what CPUs do, by samples.
#![no_std]
#![no_main]

use aya_ebpf::Global;
use tracer_ebpf::{filter, program::Context, sampler, stack};

/// Samples of the idle threads count too.
#[unsafe(no_mangle)]
static INCLUDE_IDLE: Global<u32> = Global::new(0);

sampler!(on_sample on cycles, cpu_clock);

#[inline(always)]
fn on_sample(context: *const u8) -> Option<()> {
    let current = filter::current()?;
    if current.tid == 0 && INCLUDE_IDLE.load() == 0 {
        return None;
    }
    // SAFETY: the context is what the kernel gave the program.
    let key = stack::key(unsafe { Context::new(context) }, current);
    stack::count(&key, 0)
}

tracer_ebpf::object!();
