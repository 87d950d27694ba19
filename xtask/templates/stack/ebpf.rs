//! @name@: who starts processes and threads, by stack.
#![no_std]
#![no_main]

use tracer_ebpf::{filter, program::Args, stack, tracepoint};

tracepoint!(task_newtask => on_start);

/// `task_newtask(task, clone_flags)`, in the parent's context.
#[inline(always)]
fn on_start<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    let key = stack::key(args.context(), current);
    stack::count(&key, 0)
}

tracer_ebpf::object!();
