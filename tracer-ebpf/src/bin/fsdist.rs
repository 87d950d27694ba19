//! fsdist: how long calls on files take, by operation and file system.
#![no_std]
#![no_main]

use tracer_ebpf::{
    call_time::on_thread_end,
    file_io::{Done, OpenFile, on_enter},
    hist,
    program::Args,
    tracepoint,
};

tracepoint!(sys_enter => on_enter);
tracepoint!(sys_exit => on_exit);
tracepoint!(sched_process_exit => on_thread_end);

/// `sys_exit(regs, ret)`
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let (done, _, ns) = Done::timed(args)?;
    let fs = OpenFile::of(done.fd())?.fs()?;
    hist::add(ns, || (done.operation().into(), fs));
    Some(())
}

tracer_ebpf::object!();
