//! Since when threads have been doing what a tool measures.

use aya_ebpf::{macros::map, maps::HashMap};

use crate::{clock::now, emit, kernel::task_struct, ptr::Ptr};

/// Since when, by tid; 0 while a thread does something else.
///
/// A thread's entry stays as long as the thread lives: finding it costs a tenth of what adding and
/// removing one would at each switch.
#[map]
static SINCE: HashMap<u32, u64> = HashMap::with_max_entries(1, 0);

/// The thread does it from now on.
#[inline(always)]
pub fn start<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) {
    let (tid, now) = (task.tid() as u32, now());
    match SINCE.get_ptr_mut(tid) {
        // SAFETY: the map's value; a thread is woken or switched on one CPU at a time.
        Some(since) => unsafe { *since = now },
        None if SINCE.insert(tid, now, 0).is_err() => emit::lost(),
        None => {}
    }
}

/// The thread does it no more: for how long it did, if that is known.
#[inline(always)]
pub fn end<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> Option<u64> {
    let since = SINCE.get_ptr_mut(task.tid() as u32)?;
    // SAFETY: as above.
    match unsafe { core::mem::replace(&mut *since, 0) } {
        0 => None,
        start => Some(now().saturating_sub(start)),
    }
}

/// The thread is no more.
#[inline(always)]
pub fn forget<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) {
    let _ = SINCE.remove(task.tid() as u32);
}
