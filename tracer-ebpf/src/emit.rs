//! The event path: records into the ring buffer, wake-ups in batches, losses counted.

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{
        bpf_get_current_uid_gid,
        generated::{bpf_get_current_comm, bpf_ringbuf_output, bpf_ringbuf_query},
    },
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use tracer_common::{
    record::{COMM_LEN, Header},
    stack::Stacks,
};

use crate::{clock::now, debug, filter::Current, kernel::task_struct, program::Context, ptr::Ptr, stack};

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Events that found no room: in the ring buffer, in a map.
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The reader is woken when this much is queued; before, its timer finds it.
#[unsafe(no_mangle)]
static WAKE_BYTES: Global<u64> = Global::new(0);

/// Whether rows show when their events were. To read the clock is a tenth of an event's cost.
#[unsafe(no_mangle)]
static TIME_SHOWN: Global<u32> = Global::new(0);

/// Counts an event as lost.
#[inline(always)]
pub fn lost() {
    lost_many(1);
}

/// Counts events as lost.
#[inline(always)]
pub fn lost_many(events: u64) {
    if let Some(count) = DROPS.get_ptr_mut(0) {
        // SAFETY: this CPU's own counter; an interrupt in between may cost one count at worst.
        unsafe { *count += events };
    }
}

/// Sends the first `len` bytes of the record of an event, which begins with a [`Header`]: without the stacks that are the
/// first of it, unless rows show them. What a record takes of the ring buffer is much of what an event costs.
#[inline(always)]
pub fn send<T>(record: *const T, len: usize) {
    let (record, len) = sent(record, len);
    send_bare(record, len);
}

#[inline(always)]
fn sent<T>(record: *const T, len: usize) -> (*const u8, usize) {
    let left_out = if stack::are_of_events() { 0 } else { size_of::<Stacks>() };
    (record.cast::<u8>().wrapping_add(left_out), len - left_out)
}

/// Sends the first `len` bytes of a record without a header.
#[inline(always)]
pub fn send_bare<T>(record: *const T, len: usize) {
    if output(record, len, wake_flag(len)) != 0 {
        debug!("no room for a record of {} bytes", len as u64);
        lost();
    }
}

/// The same without a look whether to wake the reader, and without
/// a branch. Returns how many records were lost: 0 or 1.
#[inline(always)]
pub fn send_quietly<T>(record: *const T, len: usize) -> u64 {
    let (record, len) = sent(record, len);
    output(record, len, BPF_RB_NO_WAKEUP.into()) as u64 >> 63
}

/// 0, or a negated errno.
#[inline(always)]
fn output<T>(record: *const T, len: usize, flags: u64) -> i64 {
    let ring = (&raw const EVENTS).cast_mut().cast();
    // SAFETY: the verifier checks that `record` is valid for `len` bytes.
    unsafe { bpf_ringbuf_output(ring, record.cast_mut().cast(), len as u64, flags) }
}

/// A wake-up costs the traced program some 4 us, so only the record that makes the queue reach
/// [`WAKE_BYTES`] wakes the reader.
#[inline(always)]
fn wake_flag(len: usize) -> u64 {
    // SAFETY: EVENTS is a ring buffer.
    let queued =
        unsafe { bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast(), u64::from(BPF_RB_AVAIL_DATA)) };
    let wake = WAKE_BYTES.load();
    if queued < wake && queued + len as u64 >= wake {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Writes the header of an event that the current thread causes now, with the time and its stacks only if rows show them. In place,
/// since the command name would be copied byte by byte otherwise.
#[inline(always)]
pub fn write_header(header: &mut Header, context: Context, current: Current, kind: u32) {
    header.ns = if TIME_SHOWN.load() != 0 { now() } else { 0 };
    header.pid = current.pid;
    header.tid = current.tid;
    header.uid = bpf_get_current_uid_gid() as u32;
    header.kind = kind;
    if stack::are_of_events() {
        header.stacks = stack::of_event(context, current.pid);
    }
    write_comm(&mut header.comm);
}

/// The header of an event of another thread than the current one.
#[inline(always)]
pub fn header_of<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> Header {
    Header {
        ns: now(),
        pid: task.pid() as u32,
        tid: task.tid() as u32,
        uid: task.cred().uid(),
        kind: 0,
        comm: task.comm(),
        stacks: Stacks::NONE,
    }
}

/// Writes the current thread's command name.
#[inline(always)]
pub fn write_comm(comm: &mut [u8; COMM_LEN]) {
    // SAFETY: the helper fills the whole array, with NULs too; it fails only for no length.
    unsafe { bpf_get_current_comm((&raw mut *comm).cast(), COMM_LEN as u32) };
}
