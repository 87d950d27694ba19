//! softirqs: the time that soft interrupts take.
#![no_std]
#![no_main]

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::{spans::Counts, tools::softirqs::VECTORS};
use tracer_ebpf::{hist, program::Args, spans, tracepoint};

/// Spans of each vector.
#[map]
static COUNTS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(VECTORS, 0);

tracepoint!(softirq_entry => on_entry);
tracepoint!(softirq_exit => on_exit);

/// `softirq_entry(vector)`
#[inline(always)]
fn on_entry<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    spans::begin(|| counts(args.get(0) as u32))
}

/// `softirq_exit(vector)`
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let ns = spans::end()?;
    let vector = args.get(0) as u32;
    if hist::is_keyed() {
        hist::add(ns, || (vector.into(), [0; 16]));
        return Some(());
    }
    // SAFETY: this CPU's own value.
    unsafe { spans::add(counts(vector)?, ns) };
    Some(())
}

#[inline(always)]
fn counts(vector: u32) -> Option<*mut Counts> {
    COUNTS.get_ptr_mut(vector)
}

tracer_ebpf::object!();
