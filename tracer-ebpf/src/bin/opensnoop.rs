//! opensnoop: the open family, seen once, at the call's exit.
#![no_std]
#![no_main]

use aya_ebpf::{helpers::generated::bpf_probe_read_user_str, macros::map, maps::PerCpuArray};
use tracer_common::tools::opensnoop::Event;
use tracer_ebpf::{emit, filter, kernel::pt_regs, program::Args, ptr::Ptr, tracepoint};

const PATH_MAX: usize = 4096;
#[repr(C)]
struct Record {
    event: Event,
    path: [u8; PATH_MAX],
}
#[map]
static SCRATCH: PerCpuArray<Record> = PerCpuArray::with_max_entries(1, 0);

tracepoint!(sys_exit => on_exit);
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let regs: Ptr<pt_regs, DIRECT> = args.ptr(0);
    let nr = regs.orig_ax();
    if nr != 2 && nr != 257 {
        return None;
    }
    let current = filter::current()?;
    let record = SCRATCH.get_ptr_mut(0)?;
    unsafe {
        (*record).event = Event {
            header: emit::header(current, 0),
            ret: args.get(1) as i32,
            flags: regs.dx() as u32,
            mode: regs.r10() as u32,
            dirfd: regs.di() as i32,
        };
        let path = if nr == 2 { regs.di() } else { regs.si() };
        let n = bpf_probe_read_user_str((&raw mut (*record).path).cast(), PATH_MAX as u32, path as *const _);
        let n = if n < 0 { 0 } else { n as usize };
        let n = if n > PATH_MAX { PATH_MAX } else { n };
        emit::send(record.cast_const(), size_of::<Event>() + n);
    }
    None
}
tracer_ebpf::object!();
