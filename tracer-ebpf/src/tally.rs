//! Counters by key, each CPU's its own.

use aya_ebpf::{bindings::BPF_NOEXIST, maps::PerCpuHashMap};

use crate::counter;

/// The counters of a key, new ones if it has none; none, and an event lost, if the map is full.
#[inline(always)]
pub fn of<K, V: Default>(map: &PerCpuHashMap<K, V>, key: &K) -> Option<*mut V> {
    counter::get_or_make(
        || map.get_ptr_mut(key),
        || {
            let _ = map.insert(key, V::default(), BPF_NOEXIST.into());
        },
    )
}
