//! offcputime: how long threads are without a CPU, by their stacks.
#![no_std]
#![no_main]

use tracer_ebpf::{off_cpu, program::Args, tracepoint};

tracepoint!(sched_switch => on_switch);

/// `sched_switch(preempt, prev, next, ...)`
#[inline(always)]
fn on_switch<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    off_cpu::goes::<true, DIRECT>(args);
    off_cpu::comes_back(args)
}

tracer_ebpf::object!();
