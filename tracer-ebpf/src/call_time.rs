//! Since when each thread is in its system call.

use aya_ebpf::{macros::map, maps::HashMap};

use crate::{clock::now, emit, kernel::task_struct, program::Args, ptr::Ptr};

/// A call under way.
#[derive(Clone, Copy)]
struct Start {
    /// 0 if there is none.
    ns: u64,
    what: u64,
}

/// The call that each thread is in. A thread's entry stays as long as the thread lives: finding it
/// costs a tenth of what adding and removing one would at each call.
#[map]
static CALLS_BEGUN: HashMap<u32, Start> = HashMap::with_max_entries(1, 0);

/// The current thread begins a call; `what` is for its end.
#[inline(always)]
pub fn begin(tid: u32, what: u64) {
    let start = Start { ns: now(), what };
    match CALLS_BEGUN.get_ptr_mut(tid) {
        // SAFETY: the map's value, which only its own thread uses.
        Some(entry) => unsafe { *entry = start },
        None if CALLS_BEGUN.insert(tid, start, 0).is_err() => emit::lost(),
        None => {}
    }
}

/// The current thread ends its call: what was said at its begin, and how many nanoseconds it took.
/// None if the begin was not seen.
#[inline(always)]
pub fn end(tid: u32) -> Option<(u64, u64)> {
    let entry = CALLS_BEGUN.get_ptr_mut(tid)?;
    // SAFETY: the map's value, which only its own thread uses.
    let start = unsafe { core::mem::replace(&mut (*entry).ns, 0) };
    if start == 0 {
        return None;
    }
    // SAFETY: as above.
    Some((unsafe { (*entry).what }, now().saturating_sub(start)))
}

/// `sched_process_exit(task, ...)`, in the thread that ends
#[inline(always)]
pub fn on_thread_end<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let thread: Ptr<task_struct, DIRECT> = args.ptr(0);
    let _ = CALLS_BEGUN.remove(thread.tid() as u32);
    Some(())
}
