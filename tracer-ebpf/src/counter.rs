//! Counters in maps that all CPUs share.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

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
