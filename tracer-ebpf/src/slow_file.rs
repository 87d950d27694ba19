//! Calls on files that took long: a record each.

use aya_ebpf::{Global, macros::map, maps::PerCpuArray};
use tracer_common::file_io::Event;

use crate::{
    emit,
    file_io::{self, Done, OpenFile},
    path::NAME_MAX,
    program::Args,
};

/// What takes less is of no interest.
#[unsafe(no_mangle)]
static FILE_MIN_NS: Global<u64> = Global::new(0);

/// Room for a path's names.
const PATH_MAX: usize = 4096;

#[repr(C)]
struct Record {
    event: Event,
    names: [u8; PATH_MAX + NAME_MAX],
}

/// Too large for the stack. System calls exit with preemption off, so nobody else writes here.
#[map]
static SLOW_CALL: PerCpuArray<Record> = PerCpuArray::with_max_entries(1, 0);

/// `sys_exit(regs, ret)`
#[inline(always)]
pub fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let (done, current, ns) = Done::timed(args)?;
    if ns < FILE_MIN_NS.load() {
        return None;
    }
    let file = OpenFile::of(done.fd())?;
    let fs = file.fs()?;
    let record = SLOW_CALL.get_ptr_mut(0)?;
    // SAFETY: the map's value, which only this program writes, and only on this CPU.
    let record = unsafe { &mut *record };
    let event = &mut record.event;
    emit::write_header(&mut event.header, args.context(), current, done.kind.into());
    event.latency_ns = ns;
    event.offset = done.offset(&file);
    event.ret = done.call.ret;
    event.fs = fs;
    let path = file.file.f_path();
    // SAFETY: the buffer has room for a name beyond PATH_MAX, and only this program writes paths.
    let len = unsafe {
        let buffer = record.names.as_mut_ptr();
        file_io::write_names(&mut event.names, file.mode, path.dentry(), path.mnt(), buffer, PATH_MAX)
    };
    emit::send(record, size_of::<Event>() + len);
    Some(())
}
