//! Following processes: children of those that are traced are traced too.

use crate::{debug, emit, filter, kernel::task_struct, program::Args, ptr::Ptr};

/// `sched_process_fork(parent, child)`: a traced process's child joins the set.
#[inline(always)]
pub fn on_fork<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let parent: Ptr<task_struct, DIRECT> = args.ptr(0);
    let child: Ptr<task_struct, DIRECT> = args.ptr(1);
    let pid = child.pid() as u32;
    // A new thread is in its process's set already.
    debug!("fork of process {} by {}", pid, parent.pid());
    if child.tid() as u32 == pid && filter::is_followed(parent) && !filter::follow(child) {
        emit::lost();
    }
    Some(())
}

/// `sched_process_free(task)`: comes after everything a process does, closing its files too,
/// and for the first thread after all the others.
#[inline(always)]
pub fn on_free<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let task: Ptr<task_struct, DIRECT> = args.ptr(0);
    if task.tid() == task.pid() {
        filter::unfollow(task);
    }
    Some(())
}
