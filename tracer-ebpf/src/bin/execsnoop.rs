//! execsnoop: new programs. What succeeded is seen when the new program is in place, with its
//! arguments on its stack; what failed, at the call's exit.
#![no_std]
#![no_main]

use aya_ebpf::{
    helpers::{
        bpf_probe_read_user,
        generated::{bpf_probe_read_user as read_user, bpf_probe_read_user_str},
    },
    macros::map,
    maps::{LruHashMap, PerCpuArray},
};
use tracer_common::{
    stack::Stacks,
    tools::execsnoop::{CHUNK, Event, KIND_EXEC, KIND_MORE, MAX_CHUNKS},
};
use tracer_ebpf::{
    emit,
    filter::{self, Current},
    kernel::task_struct,
    opaque::Opaque,
    program::{Args, Context},
    ptr::Ptr,
    stack,
    syscall::{
        Call, current_task,
        number::{EXECVE, EXECVEAT},
    },
    tracepoint,
};

/// Bytes of one argument read at a time on failure.
const PIECE: usize = 4096;
/// Pieces of arguments of a failed call.
const MAX_PIECES: usize = 128;

#[repr(C)]
struct Record {
    cursor: Cursor,
    event: Event,
    args: [u8; CHUNK + PIECE],
}

/// Where reading has got to.
#[repr(C)]
struct Cursor {
    /// Next byte to read; 0 if that is the next pointer's to say.
    from: Opaque,
    end: Opaque,
    /// Next pointer of argv.
    pointer: Opaque,
    /// Width of such a pointer.
    width: Opaque,
    /// Bytes read so far.
    length: Opaque,
    /// Records that found no room.
    lost: Opaque,
}

/// Too large for the stack. Both hooks run with preemption off, so nobody else writes here.
#[map]
static RECORD: PerCpuArray<Record> = PerCpuArray::with_max_entries(1, 0);

/// The stacks of threads that are in an exec, where rows show them: those of who called it, of whom nothing is left
/// when the new program is in place.
#[map]
static CALLERS: LruHashMap<u32, Stacks> = LruHashMap::with_max_entries(1, 0);

tracepoint!(sys_enter => on_enter);
tracepoint!(sched_process_exec => on_exec);
tracepoint!(sys_exit => on_exit);

/// `sys_enter(regs, number)`: hooked only where rows show stacks.
#[inline(always)]
fn on_enter<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    Call::of(args, [EXECVE, EXECVEAT])?;
    let current = filter::current()?;
    // The map makes room by itself.
    let parent = current_task().real_parent().pid() as u32;
    let _ = CALLERS.insert(current.tid, stack::of_exec(args.context(), current.pid, parent), 0);
    Some(())
}

/// The stacks of who called the exec of a thread that bore this number before.
#[inline(always)]
fn caller(tid: u32) -> Stacks {
    // SAFETY: the map's value, which only its own thread uses.
    let stacks = unsafe { CALLERS.get(tid) }.copied();
    let _ = CALLERS.remove(tid);
    stacks.unwrap_or(Stacks::NONE)
}

/// This CPU's record, begun for the current thread's exec.
#[inline(always)]
fn begin(
    task: Ptr<task_struct, false>,
    context: Context,
    current: Current,
    ret: i32,
) -> Option<&'static mut Record> {
    // SAFETY: the map's value, which only this program writes, and only on this CPU.
    let record = unsafe { &mut *RECORD.get_ptr_mut(0)? };
    let event = &mut record.event;
    emit::write_header(&mut event.header, context, current, KIND_EXEC);
    event.ppid = task.real_parent().pid() as u32;
    event.ret = ret;
    event.left = 0;
    event.cut = 0;
    Some(record)
}

/// `sched_process_exec(task, old_pid, bprm)`
#[inline(always)]
fn on_exec<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let current = filter::current()?;
    let task: Ptr<task_struct, DIRECT> = args.ptr(0);
    let record = begin(task.by_helper(), args.context(), current, 0)?;
    if stack::are_of_events() {
        record.event.header.stacks = caller(args.get(1) as u32);
    }
    // The new program's arguments lie together, in the order and form of argv.
    let memory = task.mm();
    record.cursor.from.set(memory.arg_start());
    record.cursor.end.set(memory.arg_end());
    record.cursor.lost.set(0);
    for _ in 0..MAX_CHUNKS {
        if !send_full_chunk(record) {
            break;
        }
    }
    emit::lost_many(record.cursor.lost.get());
    let left = left(record);
    let len = if left > CHUNK as u64 { CHUNK } else { left as usize };
    let len = if read_chunk(record, len) { len } else { 0 };
    record.event.cut = u32::from(left > len as u64);
    record.event.left = 0;
    emit::send(&raw const record.event, size_of::<Event>() + len);
    Some(())
}

/// Sends a chunk that is not the last; false if there is none, or it can't be read. It has next
/// to no branches, since the verifier walks through it [`MAX_CHUNKS`] times.
#[inline(always)]
fn send_full_chunk(record: &mut Record) -> bool {
    let left = left(record);
    if left <= CHUNK as u64 || !read_chunk(record, CHUNK) {
        return false;
    }
    record.event.left = (left - CHUNK as u64) as u32;
    let lost = emit::send_quietly(&raw const record.event, size_of::<Event>() + CHUNK);
    record.cursor.lost.set(record.cursor.lost.get() + lost);
    record.event.header.kind = KIND_MORE;
    let from = record.cursor.from.get();
    record.cursor.from.set(from + CHUNK as u64);
    true
}

/// Bytes of a new program's arguments that are still to be sent.
#[inline(always)]
fn left(record: &Record) -> u64 {
    record.cursor.end.get().wrapping_sub(record.cursor.from.get())
}

#[inline(always)]
fn read_chunk(record: &mut Record, len: usize) -> bool {
    let from = record.cursor.from.get();
    // SAFETY: the buffer holds more than CHUNK bytes, and the helper checks the address.
    unsafe { read_user((&raw mut record.args).cast(), len as u32, from as *const _) == 0 }
}

/// `sys_exit(regs, ret)`: an exec that failed still has the caller's memory.
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let call = Call::of(args, [EXECVE, EXECVEAT])?;
    if call.ret >= 0 {
        return None;
    }
    let current = filter::current()?;
    let record = begin(current_task(), args.context(), current, call.ret as i32)?;
    let argv = if call.which == 0 { call.arg(1) } else { call.arg(2) };
    record.cursor.from.set(0);
    record.cursor.pointer.set(argv);
    record.cursor.width.set(if call.compat { 4 } else { 8 });
    record.cursor.length.set(0);
    let mut whole = false;
    for _ in 0..MAX_PIECES {
        whole = !read_piece(record);
        if whole {
            break;
        }
    }
    if !whole {
        // Unless the next would have been the end.
        let cursor = &record.cursor;
        let next = read_pointer(cursor.pointer.get(), cursor.width.get());
        record.event.cut = u32::from((cursor.from.get() | next) != 0);
    }
    let length = (record.cursor.length.get() as usize).min(CHUNK);
    emit::send(&raw const record.event, size_of::<Event>() + length);
    Some(())
}

/// Reads the next piece of an `argv` that is still pointers; false at its end.
#[inline(always)]
fn read_piece(record: &mut Record) -> bool {
    let cursor = &mut record.cursor;
    let mut from = cursor.from.get();
    if from == 0 {
        let pointer = cursor.pointer.get();
        let width = cursor.width.get();
        from = read_pointer(pointer, width);
        cursor.pointer.set(pointer + width);
    }
    let length = cursor.length.get() as usize;
    if from == 0 || length >= CHUNK {
        return from != 0;
    }
    // SAFETY: length is below CHUNK, beyond which there is room for a PIECE.
    let read = unsafe {
        let to = (&raw mut record.args).cast::<u8>().add(length);
        bpf_probe_read_user_str(to.cast(), PIECE as u32, from as *const _)
    };
    if read < 0 || read > PIECE as i64 {
        record.event.cut = 1;
        return false;
    }
    // Of an empty string, older kernels do not count the NUL that they write.
    let read = if read == 0 { 1 } else { read };
    // A piece that fills its room may be the start of a longer argument: go on behind it, over
    // its NUL.
    let (next, added) =
        if read < PIECE as i64 { (0, read as u64) } else { (from + PIECE as u64 - 1, PIECE as u64 - 1) };
    record.cursor.from.set(next);
    record.cursor.length.set(length as u64 + added);
    true
}

/// A pointer of the caller's, of 4 or 8 bytes; 0 if it can't be read.
#[inline(always)]
fn read_pointer(at: u64, width: u64) -> u64 {
    // SAFETY: the helper checks the caller's address.
    let word = unsafe { bpf_probe_read_user(at as *const u64) }.unwrap_or(0);
    word & (u64::MAX >> (64 - width * 8))
}

tracer_ebpf::object!();
