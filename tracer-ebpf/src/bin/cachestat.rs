//! cachestat: what reads, page faults and writes find in the page cache.
#![no_std]
#![no_main]

use aya_ebpf::{
    Global,
    macros::map,
    maps::{LruHashMap, PerCpuArray, PerCpuHashMap},
};
use tracer_common::{
    record::{COMM_LEN, Process},
    tools::cachestat::Counts,
};
use tracer_ebpf::{
    counter, emit,
    filter::{self, Current},
    function_end,
    kernel::{address_space, file, folio, kiocb, page, vm_fault},
    program::Args,
    ptr::{Ptr, read_kernel},
    syscall::current_task,
    tally, tracepoint,
};

/// `PAGE_SHIFT`
const PAGE_SHIFT: u32 = 12;
/// `VM_FAULT_RETRY`
const FAULT_RETRY: u64 = 0x400;

#[unsafe(no_mangle)]
static BY_PROCESS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the enumerator is named as in the kernel")]
static BTFE_pageflags__PG_head: Global<u64> = Global::new(0);

#[map]
static TOTAL: PerCpuArray<Counts> = PerCpuArray::with_max_entries(1, 0);
#[map]
static PROCESSES: PerCpuHashMap<Process, Counts> = PerCpuHashMap::with_max_entries(1, counter::GROWS);

/// A thread at a file.
#[repr(C)]
#[derive(Clone, Copy)]
struct Place {
    mapping: u64,
    tid: u64,
}

/// What a thread did to a file last.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Visit {
    /// Pages that it added, for a purpose that is not known yet: a read tells so at its end, a write
    /// makes them dirty.
    added: u64,
    /// It is in a page fault: what it adds now is missed.
    faulting: u64,
    /// One more than the page of a fault that may come again, since it waited for a disk.
    faulted: u64,
    /// The pages it came for last, how many its call wants in all, and how many read calls it had ended by then.
    first: u64,
    end: u64,
    wants: u64,
    calls: u64,
}

impl Visit {
    /// A read comes for pages of a file of this size. How many does that make more of what is wanted?
    #[inline(always)]
    fn come(&mut self, first: u64, end: u64, size: u64) -> u64 {
        let calls = current_task().read_calls();
        // A long read comes for pages several times, each time for all that it still wants.
        let goes_on = self.calls == calls && self.end == end && self.first < first;
        // Nothing is told of pages that are there while the one behind them is on its way: a read is taken to be
        // as long as the last one if that makes it begin where the last one ended.
        let is_late = self.end < first && end == (self.end + self.wants).min(size);
        let wanted = end.saturating_sub(if is_late { self.end } else { first });
        (self.first, self.end, self.calls, self.faulting) = (first, end, calls, 0);
        if goes_on {
            return 0;
        }
        self.wants = wanted;
        wanted
    }
}

/// Old ones make room for new ones: they only matter from one event of a call to the next.
#[map]
static VISITS: LruHashMap<Place, Visit> = LruHashMap::with_max_entries(8192, 0);

tracepoint!(mm_filemap_get_pages => on_get_pages);
tracepoint!(mm_filemap_fault => on_fault);
tracepoint!(mm_filemap_add_to_page_cache => on_add);
tracepoint!(writeback_dirty_folio => on_dirty);
tracepoint!(writeback_dirty_page => on_dirty);
function_end!(filemap_read => on_read);
function_end!(filemap_splice_read => on_splice);
function_end!(generic_file_buffered_read => on_read);
function_end!(filemap_fault => on_faulted);

/// `mm_filemap_get_pages(mapping, first, last)`: a read has found some of these pages, or brought them
/// in.
#[inline(always)]
fn on_get_pages<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    let mapping: Ptr<address_space, DIRECT> = args.ptr(0);
    // The read may want more than the file has.
    let size = (mapping.host().i_size() as u64 + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT;
    let (first, end) = (args.get(1), (args.get(2) + 1).min(size));
    let visit = visit(current, mapping.addr())?;
    let wanted = visit.come(first, end, size);
    let misses = core::mem::take(&mut visit.added);
    count(current, wanted, misses, 0)
}

/// `mm_filemap_fault(mapping, page)`: a page is not mapped, and is looked for in the cache now.
#[inline(always)]
fn on_fault<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    let (visit, page) = (visit(current, args.get(0))?, args.get(1));
    let is_again = visit.faulted == page + 1;
    visit.faulted = if is_again { 0 } else { page + 1 };
    visit.faulting = 1;
    count(current, u64::from(!is_again), 0, 0)
}

/// `filemap_read(iocb, iter, already read)`, `generic_file_buffered_read` before 5.12
#[inline(always)]
fn on_read(args: Args<true>) -> Option<()> {
    let iocb: Ptr<kiocb, true> = args.ptr(0);
    let bytes = (args.get(3) as i64).saturating_sub(args.get(2) as i64);
    read(iocb.ki_filp(), bytes, iocb.ki_pos())
}

/// `filemap_splice_read(file, position, pipe, len, flags)`, since 6.5: sendfile and copy_file_range read by it.
#[inline(always)]
fn on_splice(args: Args<true>) -> Option<()> {
    read(args.ptr(0), args.get(5) as i64, read_kernel(args.get(1) as *const i64))
}

/// A call has read so many bytes, which lie before `end`.
#[inline(always)]
fn read(file: Ptr<file, true>, bytes: i64, end: i64) -> Option<()> {
    let current = filter::current()?;
    let visit = visit(current, file.f_mapping().addr())?;
    let wanted = if bytes > 0 { ((end - 1) >> PAGE_SHIFT) - ((end - bytes) >> PAGE_SHIFT) + 1 } else { 0 };
    let misses = core::mem::take(&mut visit.added);
    count(current, wanted as u64, misses, 0)
}

/// `filemap_fault(fault)`
#[inline(always)]
fn on_faulted(args: Args<true>) -> Option<()> {
    let current = filter::current()?;
    let fault: Ptr<vm_fault, true> = args.ptr(0);
    let visit = visit(current, fault.vma().vm_file().f_mapping().addr())?;
    let misses = core::mem::take(&mut visit.added);
    let page = fault.pgoff();
    let is_again = visit.faulted == page + 1;
    visit.faulted = if args.get(1) & FAULT_RETRY != 0 { page + 1 } else { 0 };
    count(current, u64::from(!is_again), misses, 0)
}

/// `mm_filemap_add_to_page_cache(folio)`, before 5.16 of a page.
#[inline(always)]
fn on_add<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    let folio: Ptr<folio, DIRECT> = args.ptr(0);
    let mapping = if folio.has_mapping() {
        folio.mapping().addr()
    } else {
        Ptr::<page, DIRECT>::new(folio.as_ptr().cast()).mapping().addr()
    };
    let (visit, pages) = (visit(current, mapping)?, pages(folio));
    if visit.faulting != 0 {
        return count(current, 0, pages, 0);
    }
    visit.added += pages;
    Some(())
}

/// `writeback_dirty_folio(folio, mapping)`, before 5.18 of a page.
#[inline(always)]
fn on_dirty<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    let (visit, pages) = (visit(current, args.get(1))?, pages(args.ptr::<folio>(0)));
    // It was added to be written, and nothing was looked for.
    visit.added = visit.added.saturating_sub(pages);
    visit.faulting = 0;
    count(current, 0, 0, pages)
}

#[inline(always)]
fn visit<'a>(current: Current, mapping: u64) -> Option<&'a mut Visit> {
    let place = Place { mapping, tid: current.tid.into() };
    if VISITS.get_ptr_mut(place).is_none() {
        let _ = VISITS.insert(place, Visit::default(), 0);
    }
    let visit = VISITS.get_ptr_mut(place);
    if visit.is_none() {
        emit::lost();
    }
    // SAFETY: the map's value, which only its own thread uses.
    visit.map(|visit| unsafe { &mut *visit })
}

/// How many pages a folio is. Its order is in the low bits of a word since 6.6, and had its own member
/// before; both are only there if there is more than one page.
#[inline(always)]
fn pages<const DIRECT: bool>(folio: Ptr<folio, DIRECT>) -> u64 {
    if folio.flags() >> (BTFE_pageflags__PG_head.load() % 64) & 1 == 0 {
        1
    } else if folio.has_order_5_18() {
        1 << (folio.order_5_18() % 64)
    } else {
        1 << (folio.flags_1() % 64)
    }
}

#[inline(always)]
fn count(current: Current, wanted: u64, misses: u64, dirties: u64) -> Option<()> {
    let counts = if BY_PROCESS.load() != 0 {
        let mut process = Process { pid: current.pid, comm: [0; COMM_LEN] };
        emit::write_comm(&mut process.comm);
        tally::of(&PROCESSES, &process)?
    } else {
        TOTAL.get_ptr_mut(0)?
    };
    // SAFETY: this CPU's own counters; an interrupt in between may cost one count at worst.
    let counts = unsafe { &mut *counts };
    counts.wanted += wanted;
    counts.misses += misses;
    counts.dirties += dirties;
    Some(())
}

tracer_ebpf::object!();
