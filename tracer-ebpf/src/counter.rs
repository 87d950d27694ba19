//! Counters in maps that all CPUs share.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    maps::HashMap,
};

use crate::emit;

/// The flags of maps whose keys are few in most runs, and new ones rare: entries are made when they are
/// needed. tracer takes it back on kernels that can't do that everywhere a program runs.
pub const GROWS: u32 = BPF_F_NO_PREALLOC;

/// The counters of a key, new ones if it has none; none, and an event lost, if the map is full.
#[inline(always)]
pub fn of<K, V: Default>(map: &HashMap<K, V>, key: &K) -> Option<*mut V> {
    if let Some(counters) = map.get_ptr_mut(key) {
        return Some(counters);
    }
    // Another CPU may have made it meanwhile.
    let _ = map.insert(key, V::default(), BPF_NOEXIST.into());
    let counters = map.get_ptr_mut(key);
    if counters.is_none() {
        emit::lost();
    }
    counters
}

/// Adds to a counter.
///
/// # Safety
/// It must be aligned and valid, as a map's value is while the program runs.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, by: u64) {
    // Where LLVM knows that it adds nothing, it would make another operation of it, which came with 5.12.
    if by == 0 {
        return;
    }
    // SAFETY: as the caller says.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, by) };
}
