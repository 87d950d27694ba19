//! syscount: system calls, counted as they return.
#![no_std]
#![no_main]

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, PerCpuArray, PerCpuHashMap},
};
use tracer_common::{
    record::{COMM_LEN, Process},
    syscall::NUMBERS,
    tools::syscount::{COMPAT, Counts, OTHER, SLOTS},
};
use tracer_ebpf::{
    call_time::{self, on_thread_end},
    counter, emit,
    filter::{self, Current},
    kernel::pt_regs,
    program::Args,
    ptr::Ptr,
    syscall::is_compat,
    syscall_names, tally, tracepoint,
};

/// The call that returns from a signal handler, whose number the kernel has cleared by its exit.
const RT_SIGRETURN: u32 = 15;
/// Larger negated results are no error numbers.
const MAX_ERRNO: u64 = 4095;

#[unsafe(no_mangle)]
static BY_PROCESS: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static LATENCY: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static FAILED_ONLY: Global<u32> = Global::new(0);
/// The one error that counts; 0 for any.
#[unsafe(no_mangle)]
static ERRNO: Global<u32> = Global::new(0);
/// Whether only some calls are wanted.
#[unsafe(no_mangle)]
static SOME_CALLS: Global<u32> = Global::new(0);

/// The calls wanted, by slot.
#[map]
static WANTED: Array<u8> = Array::with_max_entries(SLOTS, 0);

#[map]
static CALLS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(SLOTS, 0);
#[map]
static PROCESSES: PerCpuHashMap<Process, Counts> = PerCpuHashMap::with_max_entries(1, counter::GROWS);

syscall_names!();
tracepoint!(sys_enter => on_enter);
tracepoint!(sys_exit => on_exit);
tracepoint!(sched_process_exit => on_thread_end);

/// `sys_enter(regs, number)`
#[inline(always)]
fn on_enter<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    call_time::begin(current.tid, slot_of(args.get(1)).into());
    Some(())
}

/// `sys_exit(regs, ret)`
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let regs: Ptr<pt_regs, DIRECT> = args.ptr(0);
    let number = regs.orig_ax();
    let current = filter::current()?;
    let (slot, total_ns) = if LATENCY.load() != 0 { timed(current.tid)? } else { (slot_of(number), 0) };
    let errno = errno(number, args.get(1));
    if !is_wanted(slot, errno) {
        return None;
    }
    let counts = if BY_PROCESS.load() != 0 { of_process(current)? } else { CALLS.get_ptr_mut(slot)? };
    // SAFETY: the map's value, this CPU's own, where preemption is off.
    let counts = unsafe { &mut *counts };
    counts.count += 1;
    counts.errors += u64::from(errno != 0);
    counts.total_ns += total_ns;
    Some(())
}

/// The slot of the call and how long it took; none if it was not seen from its start.
#[inline(always)]
fn timed(tid: u32) -> Option<(u32, u64)> {
    let (slot, ns) = call_time::end(tid)?;
    Some((slot as u32, ns))
}

#[inline(always)]
fn is_wanted(slot: u32, errno: u32) -> bool {
    let wanted = ERRNO.load();
    (FAILED_ONLY.load() == 0 || errno != 0)
        && (wanted == 0 || errno == wanted)
        && (SOME_CALLS.load() == 0 || WANTED.get(slot).is_some_and(|&wanted| wanted != 0))
}

/// The error of a call that returned `ret`; 0 if it succeeded. After a signal handler the result
/// is what the interrupted code had in its register.
#[inline(always)]
fn errno(number: u64, ret: u64) -> u32 {
    let negated = ret.wrapping_neg();
    if is_cleared(number) || negated > MAX_ERRNO { 0 } else { negated as u32 }
}

#[inline(always)]
const fn is_cleared(number: u64) -> bool {
    number as i64 == -1
}

#[inline(always)]
fn slot_of(number: u64) -> u32 {
    if is_cleared(number) {
        RT_SIGRETURN
    } else if number >= NUMBERS as u64 {
        OTHER
    } else if is_compat() {
        COMPAT + number as u32
    } else {
        number as u32
    }
}

/// The counters of the current process.
#[inline(always)]
fn of_process(current: Current) -> Option<*mut Counts> {
    let mut process = Process { pid: current.pid, comm: [0; COMM_LEN] };
    emit::write_comm(&mut process.comm);
    tally::of(&PROCESSES, &process)
}

tracer_ebpf::object!();
