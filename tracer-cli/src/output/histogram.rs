//! Histograms as the kernel counts them, and what is printed of them.

use tracer_common::histogram::{SLOTS, bounds};

/// The counts of log-linear slots.
#[derive(Clone, Debug)]
pub struct Histogram {
    unit: &'static str,
    counts: Vec<u64>,
    /// Of a recording: its percentiles, which the buckets do not tell.
    told: Option<[Option<u64>; 4]>,
}

/// The count of the values from one power of two to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub from: u64,
    /// Inclusive.
    pub to: u64,
    pub count: u64,
}

impl Histogram {
    /// An empty histogram of values in `unit`.
    pub fn new(unit: &'static str) -> Self {
        Self { unit, counts: vec![0; SLOTS], told: None }
    }

    /// A recorded histogram, with its summary.
    pub fn told(unit: &'static str, summary: [Option<u64>; 4]) -> Self {
        Self { told: Some(summary), ..Self::new(unit) }
    }

    /// Counts values by their slot; a slot past the last is taken for the last.
    pub fn add(&mut self, slot: u32, count: u64) {
        let index = (slot as usize).min(SLOTS - 1);
        self.counts[index] = self.counts[index].saturating_add(count);
    }

    /// Counts one value.
    #[cfg(test)]
    pub fn record(&mut self, value: u64) {
        self.add(tracer_common::histogram::slot(value), 1);
    }

    pub const fn unit(&self) -> &'static str {
        self.unit
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The largest value, or up to 12.5 % more: the upper bound of its slot. None of none.
    pub fn max(&self) -> Option<u64> {
        if let Some([.., max]) = self.told {
            return max;
        }
        let last = self.counts.iter().rposition(|count| *count > 0)?;
        Some(bounds(last as u32).1)
    }

    /// The smallest value that `percent` of all values do not exceed, or up to 12.5 % more: the
    /// upper bound of its slot. None of none.
    pub fn percentile(&self, percent: u32) -> Option<u64> {
        let rank = u128::from(self.count()) * u128::from(percent.min(100));
        let rank = rank.div_ceil(100).max(1);
        let mut seen = 0;
        let reached = |count: &u64| {
            seen += u128::from(*count);
            seen >= rank
        };
        let index = self.counts.iter().position(reached)?;
        Some(bounds(index as u32).1)
    }

    /// The powers of two from the first to the last that is not empty; 0 and 1 share one.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        let mut counts = [0_u64; u64::BITS as usize];
        for (slot, count) in (0..).zip(&self.counts) {
            let power = bounds(slot).0.max(1).ilog2() as usize;
            counts[power] = counts[power].saturating_add(*count);
        }
        let first = counts.iter().position(|count| *count > 0).unwrap_or(0);
        let end = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        (0..).zip(counts).take(end).skip(first).map(|(power, count)| Bucket::new(power, count))
    }

    /// What is told of the values besides their buckets, by name; None of none.
    pub fn summary(&self) -> [(&'static str, Option<u64>); 4] {
        let [p50, p90, p99, max] = self
            .told
            .unwrap_or_else(|| [self.percentile(50), self.percentile(90), self.percentile(99), self.max()]);
        [("p50", p50), ("p90", p90), ("p99", p99), ("max", max)]
    }
}

impl Bucket {
    /// The bucket of a power of two, below 64.
    pub(super) const fn new(power: u32, count: u64) -> Self {
        Self { from: if power == 0 { 0 } else { 1 << power }, to: u64::MAX >> (u64::BITS - 1 - power), count }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new("us");
        for &value in values {
            histogram.record(value);
        }
        histogram
    }

    /// Values of every magnitude.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        let value = (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift);
        prop::collection::vec(value, 1..200)
    }

    fn exact(sorted: &[u64], percent: usize) -> u64 {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted[rank - 1]
    }

    #[test]
    fn of_nothing_is_nothing() {
        let empty = Histogram::new("us");
        assert_eq!(empty.count(), 0);
        assert_eq!(empty.max(), None);
        assert_eq!(empty.percentile(50), None);
        assert_eq!(empty.buckets().count(), 0);
    }

    #[test]
    fn buckets_are_powers_of_two_without_the_empty_ends() {
        let bucket = |from, to, count| Bucket { from, to, count };
        let buckets: Vec<_> = of(&[2, 3, 8, 15]).buckets().collect();
        assert_eq!(buckets, [bucket(2, 3, 2), bucket(4, 7, 0), bucket(8, 15, 2)]);
        let extremes: Vec<_> = of(&[0, 1, u64::MAX]).buckets().collect();
        assert_eq!(extremes.len(), 64);
        assert_eq!(extremes[0], bucket(0, 1, 2));
        assert_eq!(extremes[63], bucket(1 << 63, u64::MAX, 1));
    }

    #[test]
    fn max_is_the_slots_bound() {
        let histogram = of(&[1000, 1001]);
        assert_eq!(histogram.max(), Some(1023));
        assert_eq!(histogram.percentile(100), Some(1023));
    }

    #[test]
    fn full_counts_do_not_overflow() {
        let mut histogram = Histogram::new("us");
        histogram.add(u32::MAX, u64::MAX);
        histogram.add(0, u64::MAX);
        histogram.add(0, u64::MAX);
        assert_eq!(histogram.count(), u64::MAX);
        assert_eq!(histogram.percentile(50), Some(0));
    }

    proptest! {
        #[test]
        fn percentiles_are_within_an_eighth(values in values(), percent in 0..=100_u32) {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let exact = exact(&sorted, percent as usize);
            let told = of(&values).percentile(percent).unwrap();
            prop_assert!(told >= exact, "{told} < {exact}");
            prop_assert!(told - exact <= exact / 8, "{told} is too far from {exact}");
        }

        #[test]
        fn buckets_hold_every_value(values in values()) {
            let histogram = of(&values);
            prop_assert_eq!(histogram.count(), values.len() as u64);
            for bucket in histogram.buckets() {
                let inside = values.iter().filter(|v| (bucket.from..=bucket.to).contains(v));
                prop_assert_eq!(inside.count() as u64, bucket.count);
            }
        }
    }
}
