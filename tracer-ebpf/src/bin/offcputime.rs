//! offcputime: how long threads are without a CPU, by their stacks.
#![no_std]
#![no_main]

use tracer_ebpf::{off_cpu, program::Args, tracepoint};

tracepoint!(sched_switch => on_switch);

/// `sched_switch(preempt, prev, next, ...)`
#[inline(always)]
fn on_switch<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    off_cpu::switch(args, off_cpu::count_by_stack)
}

tracer_ebpf::object!();
