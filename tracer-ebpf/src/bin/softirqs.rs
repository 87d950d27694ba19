//! softirqs: the time that soft interrupts take.
#![no_std]
#![no_main]

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::{spans::Counts, tools::softirqs::VECTORS};
use tracer_ebpf::{program::Args, spans, tracepoint};

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
    let vector = args.get(0) as u32;
    spans::end(|| counts(vector), || (vector.into(), [0; 16]))
}

#[inline(always)]
fn counts(vector: u32) -> Option<*mut Counts> {
    COUNTS.get_ptr_mut(vector)
}

tracer_ebpf::object!();
