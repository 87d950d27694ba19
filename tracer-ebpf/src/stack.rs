//! Stacks: each is told to the user side once, when it is first seen, and has an id from then on.
//!
//! The kernel's own stack maps have a place for each stack, where another one may stand already. Here a stack's
//! id is a hash of 64 bits, which no two share; the frames go through a ring buffer, and only the ids
//! are remembered.

use aya_ebpf::{
    Global,
    bindings::BPF_F_USER_STACK,
    helpers::generated::{bpf_get_stack, bpf_ringbuf_output},
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use tracer_common::stack::{KERNEL, Key, LOST_STACK, MAX_FRAMES, NO_STACK, Stack, Stacks, USER, Weight};

use crate::{counter, emit, filter::Current, program::Context};

/// Stacks that are told to the user side.
#[map]
static STACKS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Ids of stacks, the last that was told first.
type Ids = [u64; 4];

/// Ids of the stacks that were told, in sets: a stack's id says in which it is. One that is forgotten, since
/// others needed its place, is told again. A tenth of what a hash map takes, and faster to look at.
#[map]
static STACK_IDS: Array<Ids> = Array::with_max_entries(1, 0);
/// How many sets there are, which is a power of two, less one.
#[unsafe(no_mangle)]
static STACK_SETS_MASK: Global<u32> = Global::new(0);

/// What tools count by stack.
#[map]
static STACK_COUNTS: HashMap<Key, Weight> = HashMap::with_max_entries(1, 0);

/// The sides that the run wants.
#[unsafe(no_mangle)]
static STACK_SIDES: Global<u32> = Global::new(USER | KERNEL);
/// Events bear the stacks of who causes them.
#[unsafe(no_mangle)]
static STACKS_OF_EVENTS: Global<u32> = Global::new(0);
/// Threads of a process count apart.
#[unsafe(no_mangle)]
static STACK_BY_THREAD: Global<u32> = Global::new(0);

/// A record's frames, and a word that is always zero.
const WORDS: usize = MAX_FRAMES + 1;
/// What a stack's frames take at most.
const MAX_BYTES: u64 = (MAX_FRAMES * size_of::<u64>()) as u64;

#[repr(C)]
struct Record {
    stack: Stack,
    frames: [u64; WORDS],
    /// The number of the last stack that was taken here.
    turn: u64,
}

/// Too large for the stack. A program may be interrupted by another, or by itself in another thread where it is
/// preempted: what that one finds here it spoils, and both can tell by the turn.
#[map]
static STACK_BUFFER: PerCpuArray<Record> = PerCpuArray::with_max_entries(1, 0);

/// The id of the current thread's stack in user space.
#[inline(always)]
#[must_use]
pub fn user(context: Context, pid: u32) -> u64 {
    if STACK_SIDES.load() & USER == 0 {
        return NO_STACK;
    }
    id(context, pid, 0, BPF_F_USER_STACK.into())
}

/// The id of the kernel's stack.
#[inline(always)]
#[must_use]
pub fn kernel(context: Context) -> u64 {
    if STACK_SIDES.load() & KERNEL == 0 {
        return NO_STACK;
    }
    id(context, 0, 0, 0)
}

/// Whether events bear the stacks of who causes them.
#[inline(always)]
#[must_use]
pub fn are_of_events() -> bool {
    STACKS_OF_EVENTS.load() != 0
}

/// The stacks that an event bears which the current thread causes now: none, if rows don't show them.
#[inline(always)]
#[must_use]
pub fn of_event(context: Context, pid: u32) -> Stacks {
    of_exec(context, pid, 0)
}

/// The same of a thread that is about to execute another program, with its process's parent.
#[inline(always)]
#[must_use]
pub fn of_exec(context: Context, pid: u32, parent: u32) -> Stacks {
    let mut stacks = Stacks::NONE;
    if are_of_events() {
        take(&mut stacks, context, pid, parent);
    }
    stacks
}

/// A function of its own, for the stack's sake.
#[inline(never)]
fn take(stacks: &mut Stacks, context: Context, pid: u32, parent: u32) {
    if STACK_SIDES.load() & USER != 0 {
        stacks.user = id(context, pid, parent, BPF_F_USER_STACK.into());
    }
    stacks.kernel = kernel(context);
}

/// What the current thread does now, as a key to count by.
#[inline(always)]
#[must_use]
pub fn key(context: Context, current: Current) -> Key {
    let (user, kernel) = (user(context, current.pid), kernel(context));
    let mut key = Key { user, kernel, pid: current.pid, tid: tid(current.tid), comm: [0; 16] };
    emit::write_comm(&mut key.comm);
    key
}

/// A thread's number in a key.
#[inline(always)]
#[must_use]
pub fn tid(tid: u32) -> u32 {
    if STACK_BY_THREAD.load() != 0 { tid } else { 0 }
}

/// Counts what a key stands for.
#[inline(always)]
pub fn count(key: &Key, total: u64) -> Option<()> {
    let weight = counter::of(&STACK_COUNTS, key)?;
    // SAFETY: the map's value.
    unsafe { weigh(weight, total) };
    Some(())
}

/// Adds to what a key weighs.
///
/// # Safety
/// It must be a map's value.
#[inline(always)]
pub unsafe fn weigh(weight: *mut Weight, total: u64) {
    // SAFETY: as the caller says: aligned and valid as long as the program runs.
    unsafe {
        counter::add(&raw mut (*weight).count, 1);
        counter::add(&raw mut (*weight).total, total);
    }
}

#[inline(always)]
fn id(context: Context, pid: u32, parent: u32, flags: u64) -> u64 {
    let Some(record) = STACK_BUFFER.get_ptr_mut(0) else { return LOST_STACK };
    let turn = take_turn(record);
    // SAFETY: the context is the program's own, the buffer the map's value, which only this CPU writes and which has as
    // many bytes.
    let (frames, bytes) = unsafe {
        let frames = &raw mut (*record).frames;
        (frames, bpf_get_stack(context.as_ptr().cast_mut().cast(), frames.cast(), MAX_BYTES as u32, flags))
    };
    if bytes <= 0 {
        return NO_STACK;
    }
    let bytes = (bytes as u64).min(MAX_BYTES);
    let id = hash(frames.cast(), bytes, pid.into());
    if turn_of(record) != turn {
        emit::lost();
        return LOST_STACK;
    }
    // An id's lowest bit is the same in all.
    let Some(ids) = STACK_IDS.get_ptr_mut((id >> 1) as u32 & STACK_SETS_MASK.load()) else {
        return LOST_STACK;
    };
    // SAFETY: the map's value, of aligned words; whatever other CPUs do to them, each is an id.
    let [first, second, third, fourth] = unsafe { ids.read() };
    if id == first || id == second || id == third || id == fourth {
        return id;
    }
    // SAFETY: as above.
    unsafe { (*record).stack = Stack { id, pid, len: bytes as u32, parent, unused: 0 } };
    if !tell(record, bytes) {
        return LOST_STACK;
    }
    // SAFETY: as above. What two CPUs do here at the same time is not lost, but told twice.
    unsafe { ids.write([id, first, second, third]) };
    id
}

/// Begins to take a stack, and gives its number on this CPU.
#[inline(always)]
fn take_turn(record: *mut Record) -> u64 {
    let turn = turn_of(record).wrapping_add(1);
    // SAFETY: the map's value, aligned and valid as long as the program runs.
    unsafe { (&raw mut (*record).turn).write_volatile(turn) };
    turn
}

#[inline(always)]
fn turn_of(record: *const Record) -> u64 {
    // SAFETY: as above.
    unsafe { (&raw const (*record).turn).read_volatile() }
}

/// Tells the user side of a stack that is new. Rare, and out of the way of those that are not.
#[inline(never)]
fn tell(record: *const Record, bytes: u64) -> bool {
    let len = size_of::<Stack>() as u64 + bytes.min(MAX_BYTES);
    let ring = (&raw const STACKS).cast_mut().cast();
    // SAFETY: the record is longer than that. The reader is woken: it looks who the process is while that is there.
    let is_told = unsafe { bpf_ringbuf_output(ring, record.cast_mut().cast(), len, 0) } == 0;
    if !is_told {
        emit::lost();
    }
    is_told
}

/// Odd, with bits all over.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Words that are hashed without a look whether there are more.
const GROUP: usize = 16;

/// A stack's id, which is neither of the special ones. What follows the frames in the buffer is zero.
#[inline(never)]
fn hash(frames: *const u64, bytes: u64, seed: u64) -> u64 {
    // Two at a time, as neither waits for the other.
    let (mut even, mut odd) = (seed.wrapping_mul(FACTOR), bytes);
    for group in 0..WORDS / GROUP {
        if group * GROUP * size_of::<u64>() >= bytes as usize {
            break;
        }
        for pair in 0..GROUP / 2 {
            let at = group * GROUP + 2 * pair;
            // SAFETY: the buffer has as many words.
            let (first, second) = unsafe { (frames.add(at).read(), frames.add(at + 1).read()) };
            even = (even.rotate_left(29) ^ first).wrapping_mul(FACTOR);
            odd = (odd.rotate_left(31) ^ second).wrapping_mul(FACTOR);
        }
    }
    let mixed = (even ^ even >> 32).wrapping_add((odd ^ odd >> 29).wrapping_mul(FACTOR));
    (mixed ^ mixed >> 31) | 1
}
