//! @name@: programs that are executed long after their process was forked.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use aya_ebpf::{Global, helpers::generated::bpf_ktime_get_ns, macros::map, maps::HashMap};
use tracer_common::tools::@name@::Event;
use tracer_ebpf::{emit, filter, kernel::task_struct, program::Args, ptr::Ptr, tracepoint};

/// Starts that have no end yet, by process.
#[map]
static STARTS: HashMap<u32, u64> = HashMap::with_max_entries(16384, 0);

/// What is faster never leaves the kernel.
#[unsafe(no_mangle)]
static MIN_NS: Global<u64> = Global::new(0);

tracepoint!(task_newtask => on_start);
tracepoint!(sched_process_exec => on_end);

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// `task_newtask(task, clone_flags)`, in the parent's context.
#[inline(always)]
fn on_start<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let task: Ptr<task_struct, DIRECT> = args.ptr(0);
    if STARTS.insert(task.pid() as u32, now(), 0).is_err() {
        emit::lost();
    }
    Some(())
}

/// `sched_process_exec(task, old_pid, bprm)`
#[inline(always)]
fn on_end<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    // SAFETY: the value is copied at once.
    let start = unsafe { *STARTS.get(current.pid)? };
    let _ = STARTS.remove(current.pid);
    let latency_ns = now().saturating_sub(start);
    if latency_ns < MIN_NS.load() {
        return None;
    }
    // SAFETY: an event of zeroes is valid.
    let mut event: Event = unsafe { MaybeUninit::zeroed().assume_init() };
    emit::write_header(&mut event.header, args.context(), current, 0);
    event.latency_ns = latency_ns;
    emit::send(&raw const event, size_of::<Event>());
    Some(())
}

tracer_ebpf::object!();
