//! wakeuptime: how long threads sleep, by the stacks of the threads that wake them.
#![no_std]
#![no_main]

use tracer_ebpf::{
    off_cpu::{self, ends_sleep},
    program::Args,
    tracepoint,
};

tracepoint!(sched_switch => on_switch);
tracepoint!(sched_waking => ends_sleep);

/// `sched_switch(preempt, prev, next, ...)`
#[inline(always)]
fn on_switch<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    off_cpu::goes::<false, DIRECT>(args);
    Some(())
}

tracer_ebpf::object!();
