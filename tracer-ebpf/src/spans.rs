//! Spans of time that a CPU spends in something: interrupts of a kind, which do not interrupt each other.

use aya_ebpf::{Global, helpers::bpf_get_smp_processor_id, macros::map, maps::PerCpuArray};
use tracer_common::spans::{ALL_CPUS, Counts};

use crate::{clock::now, filter, hist};

/// The run filters by whom it is that is interrupted.
#[unsafe(no_mangle)]
static BY_INTERRUPTED: Global<u32> = Global::new(0);
/// Only the number of spans is wanted.
#[unsafe(no_mangle)]
static COUNT_ONLY: Global<u32> = Global::new(0);
/// Only histograms are wanted, no totals beside them.
#[unsafe(no_mangle)]
static DIST_ONLY: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static ONE_CPU: Global<u32> = Global::new(ALL_CPUS);

/// Since when this CPU is in a span; 0 if it isn't.
#[map]
static BEGUN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// A span begins. Where only their number is wanted, `count` counts it.
#[inline(always)]
pub fn begin(count: impl FnOnce() -> Option<*mut Counts>) -> Option<()> {
    // Not asked without need: what interrupts tracer is no work of its own.
    if BY_INTERRUPTED.load() != 0 {
        filter::current()?;
    }
    let cpu = ONE_CPU.load();
    // SAFETY: the helper has no preconditions.
    if cpu != ALL_CPUS && cpu != unsafe { bpf_get_smp_processor_id() } {
        return None;
    }
    if COUNT_ONLY.load() != 0 {
        // SAFETY: this CPU's own value.
        unsafe { add(count()?, 0) };
        return Some(());
    }
    // SAFETY: this CPU's own value.
    unsafe { *BEGUN.get_ptr_mut(0)? = now() };
    Some(())
}

/// The span ends: if its beginning was wanted, it goes to the totals that `count` finds and to the
/// histogram that `key` names.
#[inline(always)]
pub fn end(count: impl FnOnce() -> Option<*mut Counts>, key: impl FnOnce() -> (u64, [u8; 16])) -> Option<()> {
    let begun = BEGUN.get_ptr_mut(0)?;
    // SAFETY: this CPU's own value.
    let start = unsafe { core::mem::replace(&mut *begun, 0) };
    if start == 0 {
        return None;
    }
    let ns = now().saturating_sub(start);
    hist::add(ns, key);
    if DIST_ONLY.load() == 0 {
        // SAFETY: this CPU's own value.
        unsafe { add(count()?, ns) };
    }
    Some(())
}

/// Counts a span.
///
/// # Safety
/// `counts` must be this CPU's own value of a map; no span interrupts another.
#[inline(always)]
unsafe fn add(counts: *mut Counts, ns: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        (*counts).count += 1;
        (*counts).total_ns += ns;
    }
}
