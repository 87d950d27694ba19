//! @name@: how long after its fork a process executes a program.
#![no_std]
#![no_main]

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, macros::map, maps::HashMap};
use tracer_ebpf::{emit, filter, hist, kernel::task_struct, program::Args, ptr::Ptr, tracepoint};

/// Starts that have no end yet, by process.
#[map]
static STARTS: HashMap<u32, u64> = HashMap::with_max_entries(16384, 0);

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
fn on_end<const DIRECT: bool>(_: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    // SAFETY: the value is copied at once.
    let start = unsafe { *STARTS.get(current.pid)? };
    let _ = STARTS.remove(current.pid);
    hist::add(now().saturating_sub(start), || {
        let mut comm = [0; 16];
        emit::write_comm(&mut comm);
        (current.pid.into(), comm)
    });
    Some(())
}

tracer_ebpf::object!();
