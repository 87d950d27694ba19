//! @name@: a record for each program executed.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use tracer_common::tools::@name@::Event;
use tracer_ebpf::{emit, filter, kernel::task_struct, program::Args, ptr::Ptr, tracepoint};

tracepoint!(sched_process_exec => on_exec);

/// `sched_process_exec(task, old_pid, bprm)`
#[inline(always)]
fn on_exec<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    let task: Ptr<task_struct, DIRECT> = args.ptr(0);
    // SAFETY: an event of zeroes is valid.
    let mut event: Event = unsafe { MaybeUninit::zeroed().assume_init() };
    emit::write_header(&mut event.header, args.context(), current, 0);
    event.ppid = task.real_parent().pid() as u32;
    emit::send(&raw const event, size_of::<Event>());
    Some(())
}

tracer_ebpf::object!();
