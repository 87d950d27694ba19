//! Histograms: one of all values, or one for each key.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use tracer_common::{
    dist::Key,
    histogram::{SLOTS, slot},
};

use crate::counter;

/// The histogram of all values, by slot.
#[map]
static HIST: PerCpuArray<u64> = PerCpuArray::with_max_entries(SLOTS as u32, 0);

/// Histograms by key and slot.
#[map]
static HISTS: HashMap<Key, u64> = HashMap::with_max_entries(1, counter::GROWS);

/// Whether the run wants a histogram for each key.
#[unsafe(no_mangle)]
static HIST_KEYED: Global<u32> = Global::new(0);

/// Nanoseconds in a unit of the values.
#[unsafe(no_mangle)]
static HIST_UNIT_NS: Global<u64> = Global::new(1000);

/// Counts a duration, under the key that `key` makes if the run wants keys.
#[inline(always)]
pub fn add(ns: u64, key: impl FnOnce() -> (u64, [u8; 16])) {
    // Never zero, but the compiler does not know, and a plain division would panic.
    let slot = slot(ns.checked_div(HIST_UNIT_NS.load()).unwrap_or(0));
    if HIST_KEYED.load() == 0 {
        if let Some(count) = HIST.get_ptr_mut(slot) {
            // SAFETY: this CPU's own counter.
            unsafe { *count += 1 };
        }
        return;
    }
    let (id, name) = key();
    if let Some(count) = counter::of(&HISTS, &Key { id, name, slot, unused: 0 }) {
        // SAFETY: the map's value, aligned and valid as long as the program runs.
        unsafe { counter::add(count, 1) };
    }
}
