//! Percentiles beside the counters of a top tool, from the kernel side's histograms by key.

use std::{cell::OnceCell, collections::HashMap, rc::Rc, sync::Arc};

use super::{dist, interval::Deltas, plan::Plan};
use crate::{
    bpf::map::Map,
    output::{Column, Histogram},
};

/// An interval's histograms.
#[derive(Default)]
pub struct Latencies {
    /// The map of histograms, known once the maps are there.
    map: Rc<OnceCell<Arc<Map>>>,
    deltas: Deltas,
    by_key: HashMap<(u64, [u8; 16]), Histogram>,
}

impl Latencies {
    /// Plans a histogram for each key.
    pub fn plan(plan: &mut Plan, ns_per_unit: u64) -> Self {
        dist::plan(plan, true, ns_per_unit);
        let latencies = Self::default();
        let map = Rc::clone(&latencies.map);
        plan.setup(move |_, object| {
            object.map("HISTS").into_iter().for_each(|found| drop(map.set(found)));
            Ok(())
        });
        latencies
    }

    /// The columns of [`Self::marks`].
    #[must_use]
    pub fn columns(width: usize) -> [Column; 4] {
        let us = |name, about| Column::number(name, width, about).unit("us");
        [
            us("p50_us", "time that half of them did not exceed").hidden(),
            us("p90_us", "time that 90 % of them did not exceed").hidden(),
            us("p99_us", "time that 99 % of them did not exceed"),
            us("max_us", "the longest time"),
        ]
    }

    /// Reads what has come since the last call.
    pub fn read(&mut self) {
        let Some(map) = self.map.get() else { return };
        let histograms = dist::read_keyed(&mut self.deltas, map, "").unwrap_or_default();
        self.by_key = histograms.into_iter().map(|(key, it)| ((key.id, key.name), it)).collect();
    }

    /// The percentiles 50, 90 and 99 and the maximum of a key, in units.
    #[must_use]
    pub fn marks(&self, id: u64, name: [u8; 16]) -> [Option<u64>; 4] {
        let histogram = self.by_key.get(&(id, name));
        [50, 90, 99, 100].map(|percent| histogram?.percentile(percent))
    }
}
