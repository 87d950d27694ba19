//! Numbers that the verifier is to know nothing of.

/// A number in a map's value, for what a loop carries from turn to turn. The verifier forgets what was
/// written to a map, so it sees every turn alike; of a variable it would follow each value on its own.
#[repr(transparent)]
pub struct Opaque(u64);

impl Opaque {
    #[inline(always)]
    #[must_use]
    pub fn get(&self) -> u64 {
        // SAFETY: a reference is valid to read. Volatile, so that the compiler keeps no copy either.
        unsafe { (&raw const self.0).read_volatile() }
    }

    #[inline(always)]
    pub fn set(&mut self, value: u64) {
        // SAFETY: a mutable reference is valid to write.
        unsafe { (&raw mut self.0).write_volatile(value) };
    }
}
