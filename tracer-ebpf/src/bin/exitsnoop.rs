//! exitsnoop: processes at their end, or threads.
#![no_std]
#![no_main]

use aya_ebpf::{Global, bindings::BPF_NOEXIST, macros::map, maps::LruHashMap};
use tracer_common::{record::Header, tools::exitsnoop::Event};
use tracer_ebpf::{clock, emit, filter, kernel::task_struct, program::Args, ptr::Ptr, stack, tracepoint};

/// `SIGNAL_GROUP_EXIT`: the process ends as a whole, all its threads with the same status.
const GROUP_EXIT: u32 = 4;
const EEXIST: i32 = 17;

#[unsafe(no_mangle)]
static FAILED_ONLY: Global<u32> = Global::new(0);
/// Whether each thread's end is an event.
#[unsafe(no_mangle)]
static THREADS: Global<u32> = Global::new(0);

/// Arguments of the tracepoint: since 6.16 the second one tells whether the thread was the last.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the tracepoint is named as in the kernel")]
static BTFA_sched_process_exit: Global<u32> = Global::new(0);

/// Processes that ended a moment ago, by pid and start time.
#[map]
static ENDED: LruHashMap<[u64; 2], u8> = LruHashMap::with_max_entries(4096, 0);

tracepoint!(sched_process_exit => on_exit);

/// `sched_process_exit(task, group_dead)`, in the thread that ends
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let thread: Ptr<task_struct, DIRECT> = args.ptr(0);
    let (task, status) = if THREADS.load() != 0 {
        (thread, thread.exit_code())
    } else if is_last(args, thread) {
        // Whichever thread is the last, the process bears the name of its first.
        (thread.group_leader(), process_status(thread))
    } else {
        return None;
    };
    if FAILED_ONLY.load() != 0 && status == 0 || !filter::task(task) {
        return None;
    }
    let header = Header {
        ns: clock::now(),
        pid: thread.pid() as u32,
        tid: thread.tid() as u32,
        uid: task.cred().uid(),
        kind: 0,
        comm: task.comm(),
        stacks: stack::of_event(args.context(), thread.pid() as u32),
    };
    let ppid = task.real_parent().pid() as u32;
    let event = Event { header, start_ns: task.start_time(), ppid, status: status as u32 };
    emit::send(&raw const event, size_of::<Event>());
    Some(())
}

/// Whether the process has no other thread left.
#[inline(always)]
fn is_last<const DIRECT: bool>(args: Args<DIRECT>, thread: Ptr<task_struct, DIRECT>) -> bool {
    if BTFA_sched_process_exit.load() > 1 {
        return args.get(1) & 1 != 0;
    }
    if thread.signal().live() != 0 {
        return false;
    }
    // Two threads that end at once both find none left: the first to tell of it is taken.
    let process = [thread.pid() as u64, thread.group_leader().start_time()];
    ENDED.insert(process, 0, BPF_NOEXIST.into()) != Err(-EEXIST)
}

/// The status that wait(2) tells: the first thread's, unless something ended all of them.
#[inline(always)]
fn process_status<const DIRECT: bool>(thread: Ptr<task_struct, DIRECT>) -> i32 {
    let signal = thread.signal();
    if signal.flags() & GROUP_EXIT != 0 {
        signal.group_exit_code()
    } else {
        thread.group_leader().exit_code()
    }
}

tracer_ebpf::object!();
