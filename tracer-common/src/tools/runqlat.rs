//! runqlat has no layout of its own: [`crate::dist`] has what its histograms are of.
