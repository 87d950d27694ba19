//! offwaketime: how long threads are without a CPU, by their stacks and those of the threads that woke them.
#![no_std]
#![no_main]

use tracer_ebpf::{
    off_cpu::{self, is_woken},
    program::Args,
    tracepoint,
};

tracepoint!(sched_switch => on_switch);
tracepoint!(sched_waking => is_woken);

/// `sched_switch(preempt, prev, next, ...)`
#[inline(always)]
fn on_switch<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    off_cpu::switch(args, off_cpu::count_by_waker)
}

tracer_ebpf::object!();
