//! softirqs's slots.

/// Room for more vectors than kernels have so far, which is ten.
pub const VECTORS: u32 = 32;
