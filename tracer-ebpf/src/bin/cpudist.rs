//! cpudist: how long threads have a CPU at a time, or are without one.
#![no_std]
#![no_main]

use aya_ebpf::{Global, macros::map, maps::PerCpuArray};
use tracer_ebpf::{
    by_task, clock, filter, kernel::task_struct, program::Args, ptr::Ptr, runq::DEAD, since, tracepoint,
};

/// Time without a CPU is measured, not time with one.
#[unsafe(no_mangle)]
static OFF_CPU: Global<u32> = Global::new(0);
/// The idle threads count too.
#[unsafe(no_mangle)]
static INCLUDE_IDLE: Global<u32> = Global::new(0);

/// Since when this CPU's thread has it.
#[map]
static SWITCHED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

tracepoint!(sched_switch => on_switch);

/// `sched_switch(preempt, prev, next, ...)`
#[inline(always)]
fn on_switch<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    if OFF_CPU.load() == 0 {
        return leaves(args.ptr(1));
    }
    is_away(args.ptr(1));
    comes_back(args.ptr(2))
}

/// The thread gives this CPU to another one.
#[inline(always)]
fn leaves<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> Option<()> {
    let (switched, now) = (SWITCHED.get_ptr_mut(0)?, clock::now());
    // SAFETY: this CPU's own value, where interrupts are off.
    let start = unsafe { core::mem::replace(&mut *switched, now) };
    // The filter is asked at the end: only then a thread that executes a program has its name.
    if start != 0 && (task.tid() != 0 || INCLUDE_IDLE.load() != 0) && filter::task(task) {
        by_task::add(now.saturating_sub(start), task);
    }
    Some(())
}

/// The thread has no CPU from now on, of its own will or not.
#[inline(always)]
fn is_away<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) {
    if task.state() & DEAD != 0 {
        since::forget(task);
    } else if task.tid() != 0 && filter::task(task) {
        since::start(task);
    }
}

/// The thread has a CPU again.
#[inline(always)]
fn comes_back<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> Option<()> {
    by_task::add(since::end(task)?, task);
    Some(())
}

tracer_ebpf::object!();
