//! Log-linear histogram slots, counted in the kernel and read by the user side.
//!
//! Values below 8 have a slot each; above, each power of two is split into eight equal slots. A
//! slot is therefore never wider than an eighth of its values, so whatever stands for a value by
//! its slot is wrong by less than 12.5 %.

/// Slots that the whole range of `u64` needs.
pub const SLOTS: usize = 8 + 61 * LINEAR as usize;

/// Slots for each power of two.
const LINEAR: u32 = 1 << LINEAR_BITS;
const LINEAR_BITS: u32 = 3;

/// The slot that counts `value`; always below [`SLOTS`], which the verifier does not know.
///
/// BPF has no instruction that counts zeros. LLVM makes it of some forty plain ones without a
/// branch; a bisection is as long, and its six branches multiply the verifier's paths.
#[inline(always)]
pub const fn slot(value: u64) -> u32 {
    if value < LINEAR as u64 {
        return value as u32;
    }
    // Leaves the highest bit and the three below it: eight and the slot within the power of two.
    let shift = (u64::BITS - 1 - LINEAR_BITS) - value.leading_zeros();
    shift * LINEAR + (value >> shift) as u32
}

/// The smallest and the largest value of a slot; a slot past the last is taken for the last.
#[inline]
pub const fn bounds(slot: u32) -> (u64, u64) {
    if slot < LINEAR {
        return (slot as u64, slot as u64);
    }
    let last = SLOTS as u32 - 1;
    let slot = if slot > last { last } else { slot };
    let shift = (slot >> LINEAR_BITS) - 1;
    let low = ((LINEAR + (slot & (LINEAR - 1))) as u64) << shift;
    (low, low + ((1 << shift) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_cover_every_value_once_and_in_order() {
        let mut next = 0;
        for index in 0..SLOTS as u32 {
            let (low, high) = bounds(index);
            assert_eq!(low, next, "slot {index} starts where the last one ended");
            assert_eq!((slot(low), slot(high)), (index, index));
            next = high.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last slot ends with u64::MAX");
    }

    #[test]
    fn slots_are_narrow() {
        for index in 0..SLOTS as u32 {
            let (low, high) = bounds(index);
            assert!(high - low <= low / 8);
        }
    }

    #[test]
    fn slots_past_the_last_are_the_last() {
        assert_eq!(bounds(u32::MAX), bounds(SLOTS as u32 - 1));
    }
}
