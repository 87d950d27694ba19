//! memgrow: who makes the memory of processes grow, by stack.
#![no_std]
#![no_main]
#![allow(non_upper_case_globals, reason = "globals that ask for the kernel's values bear its names")]

use aya_ebpf::{Global, bindings::BPF_NOEXIST, macros::map, maps::HashMap};
use tracer_ebpf::{
    counter, emit, filter,
    program::{Args, Context},
    ptr::read_kernel,
    stack,
    syscall::{
        Call,
        number::{BRK, MMAP, MREMAP},
    },
    tracepoint, tracepoint_record,
};

/// `MM_SWAPENTS`: pages that are not resident.
const SWAPPED: u32 = 2;
/// Larger negated results are no error numbers.
const MAX_ERRNO: u64 = 4095;

/// Where the record has these.
#[unsafe(no_mangle)]
static TP_kmem__rss_stat__mm_id: Global<u32> = Global::new(4);
#[unsafe(no_mangle)]
static TP_kmem__rss_stat__curr: Global<u32> = Global::new(4);
#[unsafe(no_mangle)]
static TP_kmem__rss_stat__member: Global<u32> = Global::new(4);
#[unsafe(no_mangle)]
static TP_kmem__rss_stat__size: Global<u32> = Global::new(8);

/// Pages of one kind of an address space.
#[repr(C)]
#[derive(Clone, Copy)]
struct Pages {
    space: u32,
    kind: u32,
}

/// How many bytes were resident last. With its entries made beforehand: processes come in bursts, and the kernel
/// makes entries a few at a time.
#[map]
static RESIDENT: HashMap<Pages, u64> = HashMap::with_max_entries(1, counter::GROWS);

/// Where processes' heaps end, as brk(2) has it: 0 if that is not known.
#[map]
static BREAKS: HashMap<u32, u64> = HashMap::with_max_entries(1, counter::GROWS);

/// Processes whose address space was seen from its beginning.
#[map]
static FRESH: HashMap<u32, u8> = HashMap::with_max_entries(1, counter::GROWS);

tracepoint_record!(kmem / rss_stat => on_resident);
tracepoint!(sys_exit => on_exit);
tracepoint!(sched_process_exec => on_exec);

/// How much is resident changes, by what the current thread does.
#[inline(always)]
fn on_resident(record: *const u8) -> Option<()> {
    let field = |offset: &Global<u32>| record.wrapping_add(offset.load() as usize);
    let kind = read_kernel::<u32>(field(&TP_kmem__rss_stat__member).cast());
    let size = read_kernel::<u64>(field(&TP_kmem__rss_stat__size).cast());
    if kind == SWAPPED {
        return None;
    }
    let pages = Pages { space: read_kernel(field(&TP_kmem__rss_stat__mm_id).cast()), kind };
    let is_own = read_kernel::<u32>(field(&TP_kmem__rss_stat__curr).cast()) != 0;
    // Others change it too: the kernel takes pages back, a parent fills its child's space.
    if !is_own {
        // SAFETY: the map's value.
        unsafe { *RESIDENT.get_ptr_mut(pages)? = size };
        return Some(());
    }
    let current = filter::current()?;
    let last = match RESIDENT.get_ptr_mut(pages) {
        // SAFETY: the map's value. Where another thread is here too, one of the two sees the other's growth.
        Some(last) => unsafe { core::mem::replace(&mut *last, size) },
        None => {
            if RESIDENT.insert(pages, size, BPF_NOEXIST.into()).is_err() {
                emit::lost();
            }
            // SAFETY: the value is never read, only its presence matters.
            unsafe { FRESH.get(current.pid)? };
            0
        }
    };
    if size <= last {
        return None;
    }
    // SAFETY: the context is what the kernel gave the program.
    let key = stack::key(unsafe { Context::new(record) }, current);
    stack::count(&key, size - last)
}

/// `sys_exit(regs, ret)`: address space is added.
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let call = Call::of(args, [MMAP, MREMAP, BRK])?;
    let result = call.ret as u64;
    if result.wrapping_neg() <= MAX_ERRNO {
        return None;
    }
    let current = filter::current()?;
    let bytes = match call.which {
        0 => call.arg(1),
        1 => call.arg(2).saturating_sub(call.arg(1)),
        _ => heap_growth(current.pid, result)?,
    };
    if bytes == 0 {
        return None;
    }
    let key = stack::key(args.context(), current);
    stack::count(&key, bytes)
}

/// What a process's heap has grown by that ends here now; none if it was not seen before.
#[inline(always)]
fn heap_growth(pid: u32, end: u64) -> Option<u64> {
    let Some(last) = BREAKS.get_ptr_mut(pid) else {
        if BREAKS.insert(pid, end, 0).is_err() {
            emit::lost();
        }
        return None;
    };
    // SAFETY: the map's value; the kernel lets one thread of a process at a time.
    let last = unsafe { core::mem::replace(&mut *last, end) };
    if last == 0 { None } else { Some(end.saturating_sub(last)) }
}

/// `sched_process_exec(task, old_pid, binprm)`: the address space is a new one.
#[inline(always)]
fn on_exec<const DIRECT: bool>(_: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    if FRESH.insert(current.pid, 0, 0).is_err() || BREAKS.insert(current.pid, 0, 0).is_err() {
        emit::lost();
    }
    Some(())
}

tracer_ebpf::object!();
