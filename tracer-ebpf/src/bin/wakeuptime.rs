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
    // A sleep is over when it is woken from.
    off_cpu::goes::<false, DIRECT>(args, |_, _, _| None);
    Some(())
}

tracer_ebpf::object!();
