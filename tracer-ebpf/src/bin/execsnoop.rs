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
    maps::PerCpuArray,
};
use tracer_common::tools::execsnoop::{CHUNK, Event, KIND_EXEC, KIND_MORE, MAX_CHUNKS};
use tracer_ebpf::{
    emit,
    filter::{self, Current},
    kernel::task_struct,
    program::Args,
    ptr::Ptr,
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

/// Where reading has got to. It is kept in the map, so that the verifier knows nothing of it at
/// each turn of a loop: otherwise it would follow every mixture of lengths on its own.
#[repr(C)]
struct Cursor {
    /// Next byte to read; 0 if that is the next pointer's to say.
    from: u64,
    end: u64,
    /// Next pointer of argv.
    pointer: u64,
    /// Width of such a pointer.
    width: u64,
    /// Bytes read so far.
    length: u64,
    /// Records that found no room.
    lost: u64,
}

impl Cursor {
    #[inline(always)]
    fn get(field: &u64) -> u64 {
        // SAFETY: a reference is valid to read.
        unsafe { (&raw const *field).read_volatile() }
    }

    #[inline(always)]
    fn set(field: &mut u64, value: u64) {
        // SAFETY: a mutable reference is valid to write.
        unsafe { (&raw mut *field).write_volatile(value) };
    }
}

/// Too large for the stack. Both hooks run with preemption off, so nobody else writes here.
#[map]
static RECORD: PerCpuArray<Record> = PerCpuArray::with_max_entries(1, 0);

tracepoint!(sched_process_exec => on_exec);
tracepoint!(sys_exit => on_exit);

/// This CPU's record, begun for the current thread's exec.
#[inline(always)]
fn begin(task: Ptr<task_struct, false>, current: Current, ret: i32) -> Option<&'static mut Record> {
    // SAFETY: the map's value, which only this program writes, and only on this CPU.
    let record = unsafe { &mut *RECORD.get_ptr_mut(0)? };
    let event = &mut record.event;
    emit::write_header(&mut event.header, current, KIND_EXEC);
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
    let record = begin(task.by_helper(), current, 0)?;
    // The new program's arguments lie together, in the order and form of argv.
    let memory = task.mm();
    Cursor::set(&mut record.cursor.from, memory.arg_start());
    Cursor::set(&mut record.cursor.end, memory.arg_end());
    record.cursor.lost = 0;
    for _ in 0..MAX_CHUNKS {
        if !send_full_chunk(record) {
            break;
        }
    }
    emit::lost_many(record.cursor.lost);
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
    record.cursor.lost += emit::send_quietly(&raw const record.event, size_of::<Event>() + CHUNK);
    record.event.header.kind = KIND_MORE;
    let from = Cursor::get(&record.cursor.from);
    Cursor::set(&mut record.cursor.from, from + CHUNK as u64);
    true
}

/// Bytes of a new program's arguments that are still to be sent.
#[inline(always)]
fn left(record: &Record) -> u64 {
    Cursor::get(&record.cursor.end).wrapping_sub(Cursor::get(&record.cursor.from))
}

#[inline(always)]
fn read_chunk(record: &mut Record, len: usize) -> bool {
    let from = Cursor::get(&record.cursor.from);
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
    let record = begin(current_task(), current, call.ret as i32)?;
    let argv = if call.which == 0 { call.arg(1) } else { call.arg(2) };
    Cursor::set(&mut record.cursor.from, 0);
    Cursor::set(&mut record.cursor.pointer, argv);
    Cursor::set(&mut record.cursor.width, if call.compat { 4 } else { 8 });
    Cursor::set(&mut record.cursor.length, 0);
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
        let next = read_pointer(Cursor::get(&cursor.pointer), Cursor::get(&cursor.width));
        record.event.cut = u32::from((Cursor::get(&cursor.from) | next) != 0);
    }
    let length = (Cursor::get(&record.cursor.length) as usize).min(CHUNK);
    emit::send(&raw const record.event, size_of::<Event>() + length);
    Some(())
}

/// Reads the next piece of an `argv` that is still pointers; false at its end.
#[inline(always)]
fn read_piece(record: &mut Record) -> bool {
    let cursor = &mut record.cursor;
    let mut from = Cursor::get(&cursor.from);
    if from == 0 {
        let pointer = Cursor::get(&cursor.pointer);
        let width = Cursor::get(&cursor.width);
        from = read_pointer(pointer, width);
        Cursor::set(&mut cursor.pointer, pointer + width);
    }
    let length = Cursor::get(&cursor.length) as usize;
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
    Cursor::set(&mut record.cursor.from, next);
    Cursor::set(&mut record.cursor.length, length as u64 + added);
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
