//! Medians and spreads.

/// What several rounds gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub rounds: usize,
}

impl Sample {
    /// `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, low, high, rounds: sorted.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let sample = Sample::of(&[5., 1., 3.]).unwrap();
        assert_eq!(sample, Sample { median: 3., low: 1., high: 5., rounds: 3 });
        assert_eq!(Sample::of(&[4., 2.]).unwrap().median, 3.);
        assert_eq!(Sample::of(&[]), None);
    }
}
