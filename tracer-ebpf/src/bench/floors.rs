//! The floors of the bench: the least that a program on a hook can cost, and the least that must be done
//! there to tell what a tool tells. `cargo xtask bench` measures tools against them.
#![no_std]
#![no_main]

use aya_ebpf::{
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_ns,
        generated::{
            bpf_get_smp_processor_id, bpf_probe_read_kernel, bpf_probe_read_user_str, bpf_ringbuf_query,
        },
    },
    macros::{btf_tracepoint, map},
    maps::{PerCpuArray, RingBuf},
    programs::BtfTracePointContext,
};
// For its panic handler.
use tracer_ebpf as _;

/// A program that does nothing, on each of the hooks that tools use.
macro_rules! empty {
    ($($name:ident: $tracepoint:literal)*) => {$(
        #[btf_tracepoint(function = $tracepoint)]
        fn $name(_: BtfTracePointContext) -> i32 {
            0
        }
    )*};
}

empty! {
    empty_exit: "sys_exit"
    empty_exec: "sched_process_exec"
    empty_switch: "sched_switch"
    empty_wakeup: "sched_wakeup"
    empty_state: "inet_sock_set_state"
    empty_issue: "block_rq_issue"
    empty_complete: "block_rq_complete"
}

/// Of x86's `struct pt_regs`, whose layout is part of ptrace's contract with user space.
const PT_REGS_SI: usize = 104;
const PT_REGS_ORIG_AX: usize = 120;

const SYS_OPENAT: u64 = 257;
const PATH_MAX: u32 = 4096;
/// Wake the reader when so much is queued.
const WAKE_BYTES: u64 = 64 << 10;

const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;

#[repr(C)]
struct Open {
    ns: u64,
    pid_tgid: u64,
    ret: i64,
    comm: [u8; 16],
    path: [u8; PATH_MAX as usize],
}

const FIXED: usize = size_of::<Open>() - PATH_MAX as usize;

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);
#[map]
static OPEN: PerCpuArray<Open> = PerCpuArray::with_max_entries(1, 0);
/// Records that found no room.
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Opens: path and result into the ring buffer.
#[btf_tracepoint(function = "sys_exit")]
fn opens(context: BtfTracePointContext) -> i32 {
    let _ = on_open(&context);
    0
}

#[inline(always)]
fn on_open(context: &BtfTracePointContext) -> Option<()> {
    let regs: *const u8 = context.arg(0);
    if word(regs, PT_REGS_ORIG_AX) != SYS_OPENAT {
        return None;
    }
    let open = OPEN.get_ptr_mut(0)?;
    // SAFETY: this CPU's own value; system calls exit with preemption off. The helpers check addresses.
    unsafe {
        (*open).ns = bpf_ktime_get_ns();
        (*open).pid_tgid = bpf_get_current_pid_tgid();
        (*open).ret = context.arg(1);
        (*open).comm = bpf_get_current_comm().unwrap_or_default();
        let path = word(regs, PT_REGS_SI) as *const core::ffi::c_void;
        let read = bpf_probe_read_user_str((&raw mut (*open).path).cast(), PATH_MAX, path);
        let len = if read < 0 || read > i64::from(PATH_MAX) { 0 } else { read as usize };
        let record = core::slice::from_raw_parts(open.cast::<u8>(), FIXED + len);
        let queued = bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast(), BPF_RB_AVAIL_DATA);
        let flags = if queued >= WAKE_BYTES { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
        if EVENTS.output::<[u8]>(record, flags).is_err() {
            *DROPS.get_ptr_mut(0)? += 1;
        }
    }
    Some(())
}

/// A saved register.
#[inline(always)]
fn word(regs: *const u8, offset: usize) -> u64 {
    let mut word = 0_u64;
    // SAFETY: the helper checks the kernel's address.
    unsafe { bpf_probe_read_kernel((&raw mut word).cast(), 8, regs.add(offset).cast()) };
    word
}

const CALLS: u32 = 512;

#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(CALLS, 0);

/// System calls, counted by number.
#[btf_tracepoint(function = "sys_exit")]
fn calls(context: BtfTracePointContext) -> i32 {
    let number = word(context.arg(0), PT_REGS_ORIG_AX) as u32;
    if let Some(count) = COUNTS.get_ptr_mut(number & (CALLS - 1)) {
        // SAFETY: this CPU's own value, where preemption is off.
        unsafe { *count += 1 };
    }
    0
}

/// Reads the clock and the CPU's number at each switch, as any measure of time must.
#[btf_tracepoint(function = "sched_switch")]
fn clock_switch(_: BtfTracePointContext) -> i32 {
    // SAFETY: the helpers have no preconditions.
    let (now, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    if let Some(count) = COUNTS.get_ptr_mut(cpu & (CALLS - 1)) {
        // SAFETY: this CPU's own value, where preemption is off.
        unsafe { *count = now };
    }
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
