//! runqlat: from the moment a thread could run to the moment it does.
#![no_std]
#![no_main]

use tracer_ebpf::{
    by_task,
    program::Args,
    runq::{self, on_wakeup},
    tracepoint,
};

tracepoint!(sched_wakeup => on_wakeup);
tracepoint!(sched_wakeup_new => on_wakeup);
tracepoint!(sched_switch => on_switch);

/// `sched_switch(preempt, prev, next, ...)`
#[inline(always)]
fn on_switch<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let wait = runq::on_switch(args)?;
    by_task::add(wait.ns, wait.task);
    Some(())
}

tracer_ebpf::object!();
