//! runqslower: long waits from the moment a thread could run to the moment it does.
#![no_std]
#![no_main]

use aya_ebpf::{Global, helpers::bpf_get_smp_processor_id};
use tracer_common::tools::runqslower::Event;
use tracer_ebpf::{
    emit,
    program::Args,
    runq::{self, on_wakeup},
    tracepoint,
};

/// Shorter waits never leave the kernel.
#[unsafe(no_mangle)]
static MIN_NS: Global<u64> = Global::new(0);

tracepoint!(sched_wakeup => on_wakeup);
tracepoint!(sched_wakeup_new => on_wakeup);
tracepoint!(sched_switch => on_switch);

/// `sched_switch(preempt, prev, next, ...)`
#[inline(always)]
fn on_switch<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let wait = runq::on_switch(args)?;
    if wait.ns < MIN_NS.load() {
        return None;
    }
    let event = Event {
        header: emit::header_of(wait.task),
        latency_ns: wait.ns,
        // SAFETY: the helper has no preconditions.
        cpu: unsafe { bpf_get_smp_processor_id() },
        prev_pid: wait.previous.pid() as u32,
        prev_tid: wait.previous.tid() as u32,
        unused: 0,
        prev_comm: wait.previous.comm(),
    };
    emit::send(&raw const event, size_of::<Event>());
    Some(())
}

tracer_ebpf::object!();
