//! The one filter that every program asks first.
//!
//! The switches are constants to the verifier: what a run doesn't filter by is no code at all.

use aya_ebpf::{
    Global,
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid},
    macros::map,
    maps::{HashMap, LruHashMap},
};
use tracer_common::{
    filter::{self as on, CommPatterns, MAX_IDS},
    record::COMM_LEN,
};

use crate::{
    emit,
    kernel::task_struct,
    ptr::Ptr,
    syscall::{current_task, typed_current_task},
};

#[unsafe(no_mangle)]
static FILTER_ON: Global<u32> = Global::new(0);
/// tracer itself, whose own work is not shown.
#[unsafe(no_mangle)]
static FILTER_SELF: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static FILTER_CGROUP_ID: Global<u64> = Global::new(0);
/// The depth of that cgroup below the root.
#[unsafe(no_mangle)]
static FILTER_CGROUP_LEVEL: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static FILTER_COMM: Global<CommPatterns> =
    Global::new(CommPatterns { accept: [0; 256], star: 0, start: 0, end: 0 });

/// With which process it is that has the number, where processes are followed: numbers come again, and at times
/// before the kernel is done with who had them. 0 where the user named it.
#[map]
static FILTER_PIDS: HashMap<u32, u64> = HashMap::with_max_entries(MAX_IDS, 0);
#[map]
static FILTER_TIDS: HashMap<u32, u8> = HashMap::with_max_entries(MAX_IDS, 0);
#[map]
static FILTER_UIDS: HashMap<u32, u8> = HashMap::with_max_entries(MAX_IDS, 0);

/// Whether rows show cgroups.
#[unsafe(no_mangle)]
static CGROUP_SHOWN: Global<u32> = Global::new(0);
/// The cgroup v2 of each process that was let through, where rows show it: the process may have ended when
/// its row is printed.
#[map]
static CGROUPS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1, 0);

/// What a process is, as long as the kernel knows of it: all its threads share that, whatever it executes.
#[inline(always)]
fn identity<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> u64 {
    task.signal().addr()
}

/// Whether the process that a task belongs to is in the set that is followed.
#[inline(always)]
pub fn is_followed<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> bool {
    is_known(task.pid() as u32, || identity(task))
}

/// Whether the process with a number is in that set. It joins by what it is as soon as it is seen.
#[inline(always)]
fn is_known(pid: u32, identity: impl Fn() -> u64) -> bool {
    let Some(known) = FILTER_PIDS.get_ptr_mut(pid) else { return false };
    // SAFETY: the map's value, an aligned word.
    match unsafe { known.read() } {
        0 => {
            // SAFETY: as above.
            unsafe { known.write(identity()) };
            true
        }
        known => known == identity(),
    }
}

/// Adds a process to the set; false if the set is full.
#[inline(always)]
pub fn follow<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> bool {
    FILTER_PIDS.insert(task.pid() as u32, identity(task), 0).is_ok()
}

/// Removes a process from the set, if it is there.
#[inline(always)]
pub fn unfollow<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) {
    if is_followed(task) {
        let _ = FILTER_PIDS.remove(task.pid() as u32);
    }
}

/// The thread that runs now.
#[derive(Clone, Copy)]
pub struct Current {
    pub pid: u32,
    pub tid: u32,
}

/// The current thread, whether the run wants to see it or not.
#[inline(always)]
#[must_use]
pub fn whoever() -> Current {
    let id = bpf_get_current_pid_tgid();
    Current { pid: (id >> 32) as u32, tid: id as u32 }
}

/// The current thread, if the run wants to see it.
#[inline(always)]
pub fn current() -> Option<Current> {
    let current = whoever();
    let on = FILTER_ON.load();
    if !wants_ids(on, current.pid, current.tid, || match typed_current_task() {
        Some(task) => identity(task),
        None => identity(current_task()),
    }) {
        return None;
    }
    if on & on::UID != 0 && !wants_uid(bpf_get_current_uid_gid() as u32) {
        return None;
    }
    if on & on::COMM != 0 {
        let mut comm = [0; COMM_LEN];
        emit::write_comm(&mut comm);
        if !wants_comm(&comm) {
            return None;
        }
    }
    // Not by bpf_get_current_ancestor_cgroup_id: tracing programs may call it only since 5.11 or so.
    if on & on::CGROUP != 0 && !wants_cgroup(current_task()) {
        return None;
    }
    if CGROUP_SHOWN.load() != 0 {
        note_cgroup(current.pid, current_task());
    }
    Some(current)
}

/// Whether the run wants to see a task, which need not be the current one.
#[inline(always)]
pub fn task<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> bool {
    let on = FILTER_ON.load();
    if !wants_ids(on, task.pid() as u32, task.tid() as u32, || identity(task)) {
        return false;
    }
    if on & on::UID != 0 && !wants_uid(task.cred().uid()) {
        return false;
    }
    if on & on::COMM != 0 && !wants_comm(&task.comm()) {
        return false;
    }
    if on & on::CGROUP != 0 && !wants_cgroup(task) {
        return false;
    }
    if CGROUP_SHOWN.load() != 0 {
        note_cgroup(task.pid() as u32, task);
    }
    true
}

#[inline(always)]
fn note_cgroup<const DIRECT: bool>(pid: u32, task: Ptr<task_struct, DIRECT>) {
    let id = task.cgroup_id();
    // SAFETY: the value is copied at once.
    if unsafe { CGROUPS.get(pid) }.copied() != Some(id) {
        // The map makes room by itself.
        let _ = CGROUPS.insert(pid, id, 0);
    }
}

#[inline(always)]
fn wants_cgroup<const DIRECT: bool>(task: Ptr<task_struct, DIRECT>) -> bool {
    task.cgroup_ancestor(FILTER_CGROUP_LEVEL.load()) == FILTER_CGROUP_ID.load()
}

#[inline(always)]
fn wants_ids(on: u32, pid: u32, tid: u32, identity: impl Fn() -> u64) -> bool {
    if pid == FILTER_SELF.load() {
        return false;
    }
    if on & on::FOLLOW != 0 {
        if !is_known(pid, identity) {
            return false;
        }
    // SAFETY: the value is never read, only its presence matters.
    } else if on & on::PID != 0 && unsafe { FILTER_PIDS.get(pid) }.is_none() {
        return false;
    }
    // SAFETY: as above.
    on & on::TID == 0 || unsafe { FILTER_TIDS.get(tid) }.is_some()
}

#[inline(always)]
fn wants_uid(uid: u32) -> bool {
    // SAFETY: as above.
    unsafe { FILTER_UIDS.get(uid).is_some() }
}

#[inline(always)]
fn wants_comm(comm: &[u8; COMM_LEN]) -> bool {
    let patterns = (&raw const FILTER_COMM).cast::<CommPatterns>();
    // SAFETY: FILTER_COMM is a CommPatterns, written before the program was loaded.
    let (star, mut states, end) = unsafe {
        (
            (&raw const (*patterns).star).read_volatile(),
            (&raw const (*patterns).start).read_volatile(),
            (&raw const (*patterns).end).read_volatile(),
        )
    };
    for byte in comm {
        // SAFETY: a reference is valid to read. Byte by byte, so that older verifiers, which
        // forget the range of what is put on the stack in parts, know each to be below 256.
        let byte = unsafe { (&raw const *byte).read_volatile() };
        if byte == 0 {
            break;
        }
        // SAFETY: a byte is an index into 256 entries.
        let accept = unsafe { (&raw const (*patterns).accept[byte as usize]).read_volatile() };
        states = CommPatterns::step(states, accept, star);
    }
    states & end != 0
}
