//! The event path: records into the ring buffer, wake-ups in batches, losses counted.

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{
        bpf_get_current_comm, bpf_get_current_uid_gid, bpf_ktime_get_ns,
        generated::{bpf_ringbuf_output, bpf_ringbuf_query},
    },
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use tracer_common::record::Header;

use crate::filter::Current;

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Events that found no room: in the ring buffer, in a map.
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The reader is woken when this much is queued; before, its timer finds it.
#[unsafe(no_mangle)]
static WAKE_BYTES: Global<u64> = Global::new(0);

/// Counts an event as lost.
#[inline(always)]
pub fn lost() {
    if let Some(count) = DROPS.get_ptr_mut(0) {
        // SAFETY: this CPU's own counter; an interrupt in between may cost one count at worst.
        unsafe { *count += 1 };
    }
}

/// Sends the first `len` bytes of `record`.
#[inline(always)]
pub fn send<T>(record: *const T, len: usize) {
    let ring = (&raw const EVENTS).cast_mut().cast();
    // SAFETY: the verifier checks that `record` is valid for `len` bytes.
    let sent = unsafe { bpf_ringbuf_output(ring, record.cast_mut().cast(), len as u64, wake_flag(len)) };
    if sent != 0 {
        lost();
    }
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

/// The header of an event that the current thread causes now.
#[inline(always)]
pub fn header(current: Current, kind: u32) -> Header {
    Header {
        // SAFETY: the helper has no preconditions.
        ns: unsafe { bpf_ktime_get_ns() },
        pid: current.pid,
        tid: current.tid,
        uid: bpf_get_current_uid_gid() as u32,
        kind,
        comm: bpf_get_current_comm().unwrap_or_default(),
    }
}
