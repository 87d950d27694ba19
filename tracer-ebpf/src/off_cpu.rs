//! Threads without a CPU: since when, where in their code, and who woke them.

use aya_ebpf::{Global, bindings::BPF_NOEXIST, macros::map, maps::HashMap};
use tracer_common::{
    off_cpu::{Pair, RUNNING},
    stack::{Key, NO_STACK, Weight},
};

use crate::{
    clock::now, counter, emit, filter, kernel::task_struct, program::Args, ptr::Ptr, runq::DEAD, stack,
};

/// Only times from here, in nanoseconds,
#[unsafe(no_mangle)]
static AWAY_MIN_NS: Global<u64> = Global::new(0);
/// to here.
#[unsafe(no_mangle)]
static AWAY_MAX_NS: Global<u64> = Global::new(u64::MAX);
/// Only threads that go in one of these states; `RUNNING` is a bit here.
#[unsafe(no_mangle)]
static AWAY_STATES: Global<u32> = Global::new(u32::MAX);
/// Threads of the kernel count too.
#[unsafe(no_mangle)]
static AWAY_KERNEL: Global<u32> = Global::new(0);

/// How many arguments it has.
#[unsafe(no_mangle)]
static BTFA_sched_switch: Global<u32> = Global::new(0);

/// `TASK_INTERRUPTIBLE`
const INTERRUPTIBLE: u32 = 1;
/// `TASK_WAKING`
const WAKING: u32 = 0x200;

/// A thread's absence.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Away {
    /// 0 while it has a CPU.
    since: u64,
    user: u64,
    kernel: u64,
    /// Who woke it; nobody if it could run all the time.
    waker: Key,
}

/// By tid. A thread's entry stays as long as the thread lives, which costs less than to add and remove one at
/// each switch.
#[map]
static AWAY: HashMap<u32, Away> = HashMap::with_max_entries(1, 0);

/// What is counted by threads and their wakers.
#[map]
static PAIR_COUNTS: HashMap<Pair, Weight> = HashMap::with_max_entries(1, 0);

/// Nobody, nowhere.
const NOBODY: Key = Key { user: NO_STACK, kernel: NO_STACK, pid: 0, tid: 0, comm: [0; 16] };

/// `sched_switch(preempt, prev, next, ...)`: the previous thread goes; notes its stacks if `STACKS`.
/// Some kernels tell no switch from threads that they keep to themselves, such as a microVM's init process, and so
/// not that the next thread came back. When that goes again, its last absence is handed to `untold`, with its length.
#[inline(always)]
pub fn goes<const STACKS: bool, const DIRECT: bool>(
    args: Args<DIRECT>,
    untold: impl FnOnce(Ptr<task_struct, DIRECT>, &Away, u64) -> Option<()>,
) {
    let task: Ptr<task_struct, DIRECT> = args.ptr(1);
    let state = state(args, task);
    if state & DEAD != 0 {
        let _ = AWAY.remove(task.tid() as u32);
        return;
    }
    // The idle threads, one for each CPU, all have the tid 0.
    let is_wanted = state & AWAY_STATES.load() != 0
        && task.tid() != 0
        && (AWAY_KERNEL.load() != 0 || !task.mm().is_null())
        && filter::task(task);
    if !is_wanted {
        return;
    }
    let (user, kernel) = if STACKS {
        // The previous thread is the current one still.
        (stack::user(args.context(), task.pid() as u32), stack::kernel(args.context()))
    } else {
        (NO_STACK, NO_STACK)
    };
    let tid = task.tid() as u32;
    let away = Away { since: now(), user, kernel, waker: NOBODY };
    let Some(known) = AWAY.get_ptr_mut(tid) else {
        if AWAY.insert(tid, away, BPF_NOEXIST.into()).is_err() {
            emit::lost();
        }
        return;
    };
    // SAFETY: the map's value; a thread is switched on one CPU at a time.
    let known = unsafe { &mut *known };
    if known.since != 0
        && let Some(ns) = end(known, away.since.saturating_sub(task.ran()))
    {
        untold(task, known, ns);
    }
    *known = away;
}

/// The state in which the previous thread goes, or `RUNNING`.
#[inline(always)]
fn state<const DIRECT: bool>(args: Args<DIRECT>, task: Ptr<task_struct, DIRECT>) -> u32 {
    let state = task.state();
    // One that is preempted on its way to sleep could run on.
    if state == 0 || args.get(0) & 1 != 0 {
        return RUNNING;
    }
    if state != WAKING {
        return state;
    }
    // Another CPU wakes it before it is gone. Since 5.18 the tracepoint tells what it was till then
    // (<https://git.kernel.org/torvalds/c/9c2136be0878>); before, it is taken for what most sleeps are. The argument
    // is not right always: a thread that a signal keeps from sleep has its state there, up to 6.14.
    if BTFA_sched_switch.load() > 3 { args.get(3) as u32 } else { INTERRUPTIBLE }
}

/// The absence of a thread, if it is away.
#[inline(always)]
fn of<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> Option<&'static mut Away> {
    // SAFETY: as above; a thread is woken once, and switched in afterwards.
    let away = unsafe { &mut *AWAY.get_ptr_mut(task.tid() as u32)? };
    (away.since != 0).then_some(away)
}

/// Ends an absence at a time: how long it was, if that is wanted.
#[inline(always)]
fn end(away: &mut Away, at: u64) -> Option<u64> {
    let ns = at.saturating_sub(core::mem::replace(&mut away.since, 0));
    (ns >= AWAY_MIN_NS.load() && ns <= AWAY_MAX_NS.load()).then_some(ns)
}

/// Whose stacks were noted.
#[inline(always)]
fn key<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>, away: &Away) -> Key {
    let tid = stack::tid(task.tid() as u32);
    Key { user: away.user, kernel: away.kernel, pid: task.pid() as u32, tid, comm: task.comm() }
}

/// `sched_switch(preempt, prev, next, ...)`: one thread goes, and the other is back, whose absence is to be counted.
#[inline(always)]
pub fn switch<const DIRECT: bool>(
    args: Args<DIRECT>,
    count: impl Fn(Ptr<task_struct, DIRECT>, &Away, u64) -> Option<()>,
) -> Option<()> {
    goes::<true, DIRECT>(args, &count);
    let task = args.ptr(2);
    let away = of(task)?;
    let ns = end(away, now())?;
    count(task, away, ns)
}

/// Counts an absence by its stacks.
#[inline(always)]
pub fn count_by_stack<const DIRECT: bool>(
    task: Ptr<task_struct, DIRECT>,
    away: &Away,
    ns: u64,
) -> Option<()> {
    stack::count(&key(task, away), ns)
}

/// The same, by its stacks and by what woke it.
#[inline(always)]
pub fn count_by_waker<const DIRECT: bool>(
    task: Ptr<task_struct, DIRECT>,
    away: &Away,
    ns: u64,
) -> Option<()> {
    count(&Pair { sleeper: key(task, away), waker: away.waker }, ns)
}

/// `sched_waking(task)`: notes who wakes it.
#[inline(always)]
pub fn is_woken<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let away = of(args.ptr::<task_struct>(0))?;
    away.waker = stack::key(args.context(), filter::whoever());
    Some(())
}

/// `sched_waking(task)`: its time counts by who wakes it.
#[inline(always)]
pub fn ends_sleep<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let task: Ptr<task_struct, DIRECT> = args.ptr(0);
    let away = of(task)?;
    let ns = end(away, now())?;
    let waker = stack::key(args.context(), filter::whoever());
    count(&Pair { sleeper: key(task, away), waker }, ns)
}

#[inline(always)]
fn count(pair: &Pair, ns: u64) -> Option<()> {
    let weight = counter::of(&PAIR_COUNTS, pair)?;
    // SAFETY: the map's value.
    unsafe { stack::weigh(weight, ns) };
    Some(())
}
