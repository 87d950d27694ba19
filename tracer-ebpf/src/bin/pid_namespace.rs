//! No tool: from the numbers that threads have in tracer's own PID namespace to the kernel's.
#![no_std]
#![no_main]

use aya_ebpf::{macros::map, maps::HashMap};
use tracer_ebpf::{iterator, kernel::task_struct, program::Args, ptr::Ptr, syscall::current_task};

/// By thread as the namespace numbers it: its process and itself as the kernel does. The reader makes the
/// entries of the threads it asks for.
#[map]
static NUMBERS: HashMap<u32, [u32; 2]> = HashMap::with_max_entries(1, 0);

iterator!(task => on_task);

/// `bpf_iter__task { meta, task }`: a thread of the namespace that the reader is in.
#[inline(always)]
fn on_task(args: Args<true>) -> Option<()> {
    let task: Ptr<task_struct, false> = args.ptr::<task_struct>(1).by_helper();
    if task.is_null() {
        return None;
    }
    let inside = task.tid_at(current_task().pid_level());
    let numbers = NUMBERS.get_ptr_mut(inside)?;
    // SAFETY: the map's value; nobody reads it before the iterator is done.
    unsafe { *numbers = [task.pid() as u32, task.tid() as u32] };
    Some(())
}

tracer_ebpf::object!();
