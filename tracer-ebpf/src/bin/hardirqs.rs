//! hardirqs: the time that handlers of interrupts take.
#![no_std]
#![no_main]

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, macros::map, maps::PerCpuHashMap};
use tracer_common::{
    spans::Counts,
    tools::hardirqs::{Handler, NAME_LEN},
};
use tracer_ebpf::{counter, kernel::irqaction, program::Args, ptr::Ptr, spans, tally, tracepoint};

/// Spans of each handler.
#[map]
static HANDLERS: PerCpuHashMap<Handler, Counts> = PerCpuHashMap::with_max_entries(4096, counter::GROWS);

tracepoint!(irq_handler_entry => on_entry);
tracepoint!(irq_handler_exit => on_exit);

/// `irq_handler_entry(irq, action)`
#[inline(always)]
fn on_entry<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    spans::begin(|| counts(args))
}

/// `irq_handler_exit(irq, action, ret)`
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    spans::end(|| counts(args), || (u64::from(args.get(0) as u32), name(args)))
}

#[inline(always)]
fn name<const N: usize, const DIRECT: bool>(args: Args<DIRECT>) -> [u8; N] {
    let action: Ptr<irqaction, DIRECT> = args.ptr(1);
    let mut name = [0; N];
    // SAFETY: the name has room for as many bytes, and the helper checks the kernel's address.
    unsafe { bpf_probe_read_kernel_str(name.as_mut_ptr().cast(), N as u32, action.name().as_ptr().cast()) };
    name
}

#[inline(always)]
fn counts<const DIRECT: bool>(args: Args<DIRECT>) -> Option<*mut Counts> {
    tally::of(&HANDLERS, &Handler { irq: args.get(0) as u32, name: name::<NAME_LEN, DIRECT>(args) })
}

tracer_ebpf::object!();
