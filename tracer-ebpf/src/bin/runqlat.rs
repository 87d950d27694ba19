//! runqlat: from the moment a thread could run to the moment it does.
#![no_std]
#![no_main]

use aya_ebpf::{
    Global,
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::map,
    maps::HashMap,
};
use tracer_common::tools::runqlat::{BY_CPU, BY_PIDNS, BY_PROCESS};
use tracer_ebpf::{emit, filter, hist, kernel::task_struct, program::Args, ptr::Ptr, tracepoint};

/// `TASK_RUNNING`: the thread would run on.
const RUNNING: u32 = 0;
/// `TASK_DEAD`: the thread never runs again.
const DEAD: u32 = 0x80;

/// What the histograms are of.
#[unsafe(no_mangle)]
static KEY: Global<u32> = Global::new(0);

/// Since when a thread has been waiting, by tid; 0 while it isn't.
///
/// A thread's entry stays as long as the thread lives: finding it costs a tenth of what adding and
/// removing one would at each switch. There is room for all threads of a large machine, in 5 MB.
#[map]
static WAITING_SINCE: HashMap<u32, u64> = HashMap::with_max_entries(65536, 0);

tracepoint!(sched_wakeup => on_wakeup);
tracepoint!(sched_wakeup_new => on_wakeup);
tracepoint!(sched_switch => on_switch);

/// `sched_wakeup(task)` and `sched_wakeup_new(task)`
#[inline(always)]
fn on_wakeup<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    waits(args.ptr(0))
}

/// `sched_switch(preempt, prev, next, ...)`
#[inline(always)]
fn on_switch<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let (previous, next): (Ptr<task_struct, DIRECT>, Ptr<task_struct, DIRECT>) = (args.ptr(1), args.ptr(2));
    let state = previous.state();
    // A thread preempted on its way to sleep is still in the queue.
    if state == RUNNING || args.get(0) & 1 != 0 {
        waits(previous);
    } else if state & DEAD != 0 {
        let _ = WAITING_SINCE.remove(previous.tid() as u32);
    }
    runs(next)
}

/// The thread could run from now on.
#[inline(always)]
fn waits<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> Option<()> {
    let tid = task.tid() as u32;
    // The idle threads, one for each CPU, all have the tid 0 and wait for nothing.
    if tid == 0 || !filter::task(task) {
        return None;
    }
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    match WAITING_SINCE.get_ptr_mut(tid) {
        // SAFETY: the map's value; a thread is woken or switched out on one CPU at a time.
        Some(since) => unsafe { *since = now },
        None if WAITING_SINCE.insert(tid, now, 0).is_err() => emit::lost(),
        None => {}
    }
    Some(())
}

/// The thread runs from now on.
#[inline(always)]
fn runs<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> Option<()> {
    let since = WAITING_SINCE.get_ptr_mut(task.tid() as u32)?;
    // SAFETY: the map's value; nobody wakes a thread that is being switched in.
    let start = unsafe { core::mem::replace(&mut *since, 0) };
    if start != 0 {
        // SAFETY: the helper has no preconditions.
        let now = unsafe { bpf_ktime_get_ns() };
        hist::add(now.saturating_sub(start), || key(task));
    }
    Some(())
}

#[inline(always)]
fn key<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> (u64, [u8; 16]) {
    match KEY.load() {
        // SAFETY: the helper has no preconditions.
        BY_CPU => (unsafe { bpf_get_smp_processor_id() }.into(), [0; 16]),
        BY_PIDNS => (task.pid_namespace().into(), [0; 16]),
        BY_PROCESS => (task.pid() as u64, task.comm()),
        _ => (task.tid() as u64, task.comm()),
    }
}

tracer_ebpf::object!();
