//! @name@: counts programs executed, by name.
#![no_std]
#![no_main]

use aya_ebpf::{macros::map, maps::PerCpuHashMap};
use tracer_common::tools::@name@::Key;
use tracer_ebpf::{emit, filter, program::Args, tracepoint};

#[map]
static COUNTS: PerCpuHashMap<Key, u64> = PerCpuHashMap::with_max_entries(8192, 0);

tracepoint!(sched_process_exec => on_exec);

/// `sched_process_exec(task, old_pid, bprm)`
#[inline(always)]
fn on_exec<const DIRECT: bool>(_: Args<DIRECT>) -> Option<()> {
    filter::current()?;
    let mut key = Key { comm: [0; 16] };
    emit::write_comm(&mut key.comm);
    if let Some(count) = COUNTS.get_ptr_mut(key) {
        // SAFETY: this CPU's own counter.
        unsafe { *count += 1 };
    } else if COUNTS.insert(key, 1, 0).is_err() {
        emit::lost();
    }
    Some(())
}

tracer_ebpf::object!();
