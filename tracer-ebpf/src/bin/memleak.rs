//! memleak: memory that was allocated and is not freed, by the stack that allocated it.
#![no_std]
#![no_main]
#![allow(non_upper_case_globals, reason = "globals that ask for the kernel's values bear its names")]

use aya_ebpf::{Global, helpers::generated::bpf_get_prandom_u32, macros::map, maps::HashMap};
use tracer_common::tools::memleak::{Allocation, OBJECT, PAGES, PER_CPU, Place};
use tracer_ebpf::{
    clock::now,
    counter, emit,
    filter::{self, Current},
    interruptible_tracepoint,
    kernel::kmem_cache,
    program::Args,
    ptr::Ptr,
    stack, tracepoint,
    user::{Regs, read_word},
    user_function, user_function_start,
};

/// A call that began before is no more under way: a signal handler has jumped out of it.
const STALE_NS: u64 = 30_000_000_000;
const PAGE_SHIFT: u64 = 12;
/// <linux/mman.h>
const MAP_ANONYMOUS: u64 = 0x20;
/// Larger negated results are no error numbers.
const MAX_ERRNO: u64 = 4095;

#[unsafe(no_mangle)]
static MIN_BYTES: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static MAX_BYTES: Global<u64> = Global::new(u64::MAX);
/// One in so many allocations is looked at.
#[unsafe(no_mangle)]
static EVERY: Global<u32> = Global::new(1);
/// CPUs that there may be: each has its copy of what is allocated for every one.
#[unsafe(no_mangle)]
static CPUS: Global<u32> = Global::new(1);

/// What processes have allocated.
#[map]
static ALLOCATIONS: HashMap<Place, Allocation> = HashMap::with_max_entries(1, counter::GROWS);

/// What the kernel has. With its entries made beforehand: to make one would be an allocation too.
#[map]
static KERNEL_ALLOCATIONS: HashMap<Place, Allocation> = HashMap::with_max_entries(1, 0);

/// Since when processes have been running their program: what was allocated before is no more.
#[map]
static PROGRAMS: HashMap<u32, u64> = HashMap::with_max_entries(8192, counter::GROWS);

/// A call of an allocator.
#[repr(C)]
#[derive(Clone, Copy)]
struct Call {
    ns: u64,
    /// The top of the stack.
    stack: u64,
    bytes: u64,
    /// Where the result will be, if the function does not return it.
    result: u64,
    /// What it is given, to be made larger or smaller; address 0 if nothing that is known.
    old: Place,
    old_allocation: Allocation,
    pid: u32,
    wanted: u32,
}

/// The outermost call of each thread: allocators call each other.
#[map]
static CALLS: HashMap<u32, Call> = HashMap::with_max_entries(1, counter::GROWS);

/// How a function says what it has allocated.
mod gives {
    /// Its address, or null.
    pub const ADDRESS: u32 = 0;
    /// Its address, or an error number.
    pub const MAPPING: u32 = 1;
    /// An error number, and the address where it was told to put it.
    pub const STORED: u32 = 2;
}
use gives::{ADDRESS, MAPPING, STORED};

/// What a function is asked for.
struct Asked {
    bytes: u64,
    /// Memory that it takes back, if it can give other for it.
    old: u64,
    result: u64,
    wanted: bool,
}

impl Asked {
    #[inline(always)]
    const fn bytes(bytes: u64) -> Self {
        Self { bytes, old: 0, result: 0, wanted: true }
    }

    #[inline(always)]
    const fn instead_of(old: u64, bytes: u64) -> Self {
        Self { old, ..Self::bytes(bytes) }
    }
}

user_function!(malloc => |regs: Regs| starts(regs, &Asked::bytes(regs.arg(0))), returns::<ADDRESS>);
user_function!(calloc => |regs: Regs| starts(regs, &Asked::bytes(regs.arg(0).wrapping_mul(regs.arg(1)))),
    returns::<ADDRESS>);
user_function!(realloc => |regs: Regs| starts(regs, &Asked::instead_of(regs.arg(0), regs.arg(1))),
    returns::<ADDRESS>);
user_function!(reallocarray => |regs: Regs| {
    starts(regs, &Asked::instead_of(regs.arg(0), regs.arg(1).wrapping_mul(regs.arg(2))))
}, returns::<ADDRESS>);
user_function!(memalign => |regs: Regs| starts(regs, &Asked::bytes(regs.arg(1))), returns::<ADDRESS>);
user_function!(posix_memalign => |regs: Regs| {
    starts(regs, &Asked { result: regs.arg(0), ..Asked::bytes(regs.arg(2)) })
}, returns::<STORED>);
user_function!(mmap => |regs: Regs| {
    // What a file is mapped to is the file's.
    starts(regs, &Asked { wanted: regs.arg(3) & MAP_ANONYMOUS != 0, ..Asked::bytes(regs.arg(1)) })
}, returns::<MAPPING>);
user_function!(mremap => |regs: Regs| starts(regs, &Asked::instead_of(regs.arg(0), regs.arg(2))),
    returns::<MAPPING>);
user_function_start!(free => |regs: Regs| freed(regs.arg(0)));
user_function_start!(munmap => |regs: Regs| unmapped(regs.arg(0), regs.arg(1)));

tracepoint!(sched_process_exec => on_exec);

/// An allocator is called.
#[inline(always)]
fn starts(regs: Regs, asked: &Asked) -> Option<()> {
    let current = filter::current()?;
    let (ns, stack) = (now(), regs.stack());
    if let Some(outer) = CALLS.get_ptr(current.tid) {
        // SAFETY: the map's value, which only its own thread uses.
        let outer = unsafe { *outer };
        // What is called has less stack left than its caller.
        if stack < outer.stack && outer.pid == current.pid && ns.saturating_sub(outer.ns) < STALE_NS {
            return None;
        }
    }
    let mut call = Call {
        ns,
        stack,
        bytes: asked.bytes,
        result: asked.result,
        old: Place { address: 0, pid: current.pid, kind: OBJECT },
        old_allocation: NOTHING,
        pid: current.pid,
        wanted: u32::from(asked.wanted && is_wanted(asked.bytes)),
    };
    // Taken now: as soon as the function has freed it, another thread may get it.
    if asked.old != 0 {
        let old = Place { address: asked.old, ..call.old };
        if let Some(allocation) = ALLOCATIONS.get_ptr(old) {
            // SAFETY: the map's value; who frees memory has it for himself.
            call.old_allocation = unsafe { *allocation };
            call.old = old;
            let _ = ALLOCATIONS.remove(old);
        }
    }
    if CALLS.insert(current.tid, call, 0).is_err() {
        emit::lost();
    }
    Some(())
}

const NOTHING: Allocation = Allocation {
    ns: 0,
    bytes: 0,
    by: tracer_common::stack::Key { user: 0, kernel: 0, pid: 0, tid: 0, comm: [0; 16] },
};

/// It returns, to its caller: the stack is that of who allocates.
#[inline(always)]
fn returns<const GIVES: u32>(regs: Regs) -> Option<()> {
    let current = filter::current()?;
    let call = CALLS.get_ptr(current.tid)?;
    // SAFETY: as above.
    if regs.stack() <= unsafe { (*call).stack } {
        return None;
    }
    // SAFETY: as above.
    let (bytes, wanted, result) = unsafe { ((*call).bytes, (*call).wanted != 0, (*call).result) };
    let address = given::<GIVES>(regs.result(), result);
    // SAFETY: as above.
    let (old, kept) = unsafe { ((*call).old, (*call).old_allocation) };
    let _ = CALLS.remove(current.tid);
    if address == 0 {
        // What could not be made larger stays as it is; but no bytes at all mean that it is freed.
        if old.address != 0 && bytes != 0 && ALLOCATIONS.insert(old, kept, 0).is_err() {
            emit::lost();
        }
        return None;
    }
    if !wanted {
        return None;
    }
    let place = Place { address, pid: current.pid, kind: OBJECT };
    let by = stack::key(regs.context(), current);
    remember(&ALLOCATIONS, &place, &Allocation { ns: now(), bytes, by })
}

/// The address of what was allocated, 0 if nothing was.
#[inline(always)]
fn given<const GIVES: u32>(returned: u64, result: u64) -> u64 {
    match GIVES {
        ADDRESS => returned,
        MAPPING if returned.wrapping_neg() <= MAX_ERRNO => 0,
        MAPPING => returned,
        _ if returned as u32 != 0 => 0,
        _ => read_word(result),
    }
}

/// Whoever frees memory, and whatever the run filters by.
#[inline(always)]
fn freed(address: u64) -> Option<()> {
    let pid = (aya_ebpf::helpers::bpf_get_current_pid_tgid() >> 32) as u32;
    let _ = ALLOCATIONS.remove(Place { address, pid, kind: OBJECT });
    Some(())
}

/// The beginning of a mapping goes, or all of it.
#[inline(always)]
fn unmapped(address: u64, bytes: u64) -> Option<()> {
    let pid = (aya_ebpf::helpers::bpf_get_current_pid_tgid() >> 32) as u32;
    let place = Place { address, pid, kind: OBJECT };
    // SAFETY: the map's value; who frees memory has it for himself.
    let mut allocation = unsafe { *ALLOCATIONS.get_ptr(place)? };
    let _ = ALLOCATIONS.remove(place);
    if bytes < allocation.bytes {
        allocation.bytes -= bytes;
        remember(&ALLOCATIONS, &Place { address: address + bytes, ..place }, &allocation);
    }
    Some(())
}

/// `sched_process_exec(task, old_pid, binprm)`, in the thread that executes
#[inline(always)]
fn on_exec<const DIRECT: bool>(_: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    if PROGRAMS.insert(current.pid, now(), 0).is_err() {
        emit::lost();
    }
    Some(())
}

/// Whether an allocation is one of those that are looked at.
#[inline(always)]
fn is_wanted(bytes: u64) -> bool {
    let every = EVERY.load();
    bytes >= MIN_BYTES.load()
        && bytes <= MAX_BYTES.load()
        // SAFETY: the helper has no preconditions.
        && (every <= 1 || unsafe { bpf_get_prandom_u32() } % every == 0)
}

#[inline(always)]
fn remember(map: &HashMap<Place, Allocation>, place: &Place, allocation: &Allocation) -> Option<()> {
    if map.insert(place, allocation, 0).is_err() {
        emit::lost();
    }
    Some(())
}

#[unsafe(no_mangle)]
static BTFA_kmem_cache_alloc_node: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BTFA_percpu_alloc_percpu: Global<u32> = Global::new(0);

// Raw, as kernels at least to 6.12 let a typed program read no argument that points to `const void`, like what
// `kfree` frees: `btf_ctx_access` in <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/btf.c>.
interruptible_tracepoint!(raw kmalloc => on_kmalloc);
interruptible_tracepoint!(raw kmalloc_node => on_kmalloc);
interruptible_tracepoint!(raw kmem_cache_alloc => on_cache_alloc);
interruptible_tracepoint!(raw kmem_cache_alloc_node => on_cache_alloc);
interruptible_tracepoint!(raw kfree => on_object_free);
interruptible_tracepoint!(raw kmem_cache_free => on_object_free);
interruptible_tracepoint!(raw mm_page_alloc => on_page_alloc);
interruptible_tracepoint!(raw mm_page_free => on_page_free);
interruptible_tracepoint!(raw percpu_alloc_percpu => on_percpu_alloc);
interruptible_tracepoint!(raw percpu_free_percpu => on_percpu_free);

/// `kmalloc(call_site, ptr, bytes_req, bytes_alloc, ...)`, and `kmalloc_node` until 6.0
#[inline(always)]
fn on_kmalloc<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    kernel_allocated(args, args.get(1), args.get(3), OBJECT)
}

/// `kmem_cache_alloc(call_site, ptr, cache, ...)`; until 6.0, while there was a second tracepoint for nodes, as
/// `kmalloc`: <https://git.kernel.org/torvalds/c/11e9734bcb6a>.
#[inline(always)]
fn on_cache_alloc<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let bytes = if BTFA_kmem_cache_alloc_node.load() != 0 {
        args.get(3)
    } else {
        let cache: Ptr<kmem_cache, DIRECT> = args.ptr(2);
        u64::from(cache.size())
    };
    kernel_allocated(args, args.get(1), bytes, OBJECT)
}

/// `kfree(call_site, ptr)`, `kmem_cache_free(call_site, ptr, ...)`
#[inline(always)]
fn on_object_free<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    kernel_freed(args.get(1), OBJECT)
}

/// `mm_page_alloc(page, order, ...)`
#[inline(always)]
fn on_page_alloc<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    kernel_allocated(args, args.get(0), 1 << ((PAGE_SHIFT + args.get(1)) & 63), PAGES)
}

/// `mm_page_free(page, order)`
#[inline(always)]
fn on_page_free<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    kernel_freed(args.get(0), PAGES)
}

/// `percpu_alloc_percpu(call_site, reserved, is_atomic, size, align, base_addr, off, ptr, ...)`, without the
/// first one until 6.0
#[inline(always)]
fn on_percpu_alloc<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let (size, ptr) = if BTFA_percpu_alloc_percpu.load() == 7 {
        (core::hint::black_box(args.get(2)), core::hint::black_box(args.get(6)))
    } else {
        (args.get(3), args.get(7))
    };
    kernel_allocated(args, ptr, size * u64::from(CPUS.load()), PER_CPU)
}

/// `percpu_free_percpu(base_addr, off, ptr)`
#[inline(always)]
fn on_percpu_free<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    kernel_freed(args.get(2), PER_CPU)
}

#[inline(always)]
fn kernel_allocated<const DIRECT: bool>(
    args: Args<DIRECT>,
    address: u64,
    bytes: u64,
    kind: u32,
) -> Option<()> {
    let current: Current = filter::current()?;
    if address == 0 || !is_wanted(bytes) {
        return None;
    }
    let by = stack::key(args.context(), current);
    remember(&KERNEL_ALLOCATIONS, &Place { address, pid: 0, kind }, &Allocation { ns: now(), bytes, by })
}

#[inline(always)]
fn kernel_freed(address: u64, kind: u32) -> Option<()> {
    let _ = KERNEL_ALLOCATIONS.remove(Place { address, pid: 0, kind });
    Some(())
}

tracer_ebpf::object!();
