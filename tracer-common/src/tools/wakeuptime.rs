//! wakeuptime counts by [`crate::off_cpu::Pair`].
