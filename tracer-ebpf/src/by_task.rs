//! Histograms of what threads do: one of all, or for each process, thread, CPU or pid namespace.

use aya_ebpf::{Global, helpers::bpf_get_smp_processor_id};
use tracer_common::dist::by_task::{CPU, PIDNS, PROCESS};

use crate::{hist, kernel::task_struct, ptr::Ptr};

/// What the histograms are of.
#[unsafe(no_mangle)]
static BY_TASK: Global<u32> = Global::new(0);

/// Counts a duration that ended for a thread, on this CPU.
#[inline(always)]
pub fn add<const DIRECT: bool>(ns: u64, task: Ptr<task_struct, DIRECT>) {
    hist::add(ns, || key(task));
}

#[inline(always)]
fn key<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> (u64, [u8; 16]) {
    match BY_TASK.load() {
        // SAFETY: the helper has no preconditions.
        CPU => (unsafe { bpf_get_smp_processor_id() }.into(), [0; 16]),
        PIDNS => (task.pid_namespace().into(), [0; 16]),
        PROCESS => (task.pid() as u64, task.comm()),
        _ => (task.tid() as u64, task.comm()),
    }
}
