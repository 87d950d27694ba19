//! Waits for a CPU: from the moment a thread could run to the moment it does.

use crate::{filter, kernel::task_struct, program::Args, ptr::Ptr, since};

/// `TASK_RUNNING`: the thread would run on.
const RUNNING: u32 = 0;
/// `TASK_DEAD`: the thread never runs again.
pub const DEAD: u32 = 0x80;

/// A wait that is over.
pub struct Wait<const DIRECT: bool> {
    /// Who waited.
    pub task: Ptr<task_struct, DIRECT>,
    /// Who had the CPU till now.
    pub previous: Ptr<task_struct, DIRECT>,
    pub ns: u64,
}

/// `sched_wakeup(task)` and `sched_wakeup_new(task)`
#[inline(always)]
pub fn on_wakeup<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    waits(args.ptr(0));
    Some(())
}

/// `sched_switch(preempt, prev, next, ...)`
#[inline(always)]
pub fn on_switch<const DIRECT: bool>(args: Args<DIRECT>) -> Option<Wait<DIRECT>> {
    let (previous, task): (Ptr<task_struct, DIRECT>, Ptr<task_struct, DIRECT>) = (args.ptr(1), args.ptr(2));
    let state = previous.state();
    // A thread preempted on its way to sleep is still in the queue.
    if state == RUNNING || args.get(0) & 1 != 0 {
        waits(previous);
    } else if state & DEAD != 0 {
        since::forget(previous);
    }
    // Nobody wakes a thread that is being switched in.
    let ns = since::end(task)?;
    Some(Wait { task, previous, ns })
}

/// The thread could run from now on.
#[inline(always)]
fn waits<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) {
    // The idle threads, one for each CPU, all have the tid 0 and wait for nothing.
    if task.tid() != 0 && filter::task(task) {
        since::start(task);
    }
}
