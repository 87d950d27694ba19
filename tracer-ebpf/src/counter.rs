//! Counters in maps that all CPUs share.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    maps::HashMap,
};

use crate::emit;

/// The flags of maps whose keys are few in most runs, or new ones rare: entries are made when they are
/// needed. tracer takes it back on kernels that can't do that everywhere a program runs.
pub const GROWS: u32 = BPF_F_NO_PREALLOC;

/// The counters of a key, new ones if it has none; none, and an event lost, if the map is full.
#[inline(always)]
pub fn of<K, V: Default>(map: &HashMap<K, V>, key: &K) -> Option<*mut V> {
    get_or_make(
        || map.get_ptr_mut(key),
        || {
            let _ = map.insert(key, V::default(), BPF_NOEXIST.into());
        },
    )
}

/// What is in a map, or is made; another CPU may make it meanwhile.
#[inline(always)]
pub(crate) fn get_or_make<V>(get: impl Fn() -> Option<*mut V>, make: impl FnOnce()) -> Option<*mut V> {
    if let Some(found) = get() {
        return Some(found);
    }
    make();
    let made = get();
    if made.is_none() {
        emit::lost();
    }
    made
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
