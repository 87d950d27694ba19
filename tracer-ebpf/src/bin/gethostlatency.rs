//! gethostlatency: lookups of hosts by the C library, and how long they take.
#![no_std]
#![no_main]

use core::mem::{MaybeUninit, offset_of};

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_user_str, macros::map, maps::LruHashMap};
use tracer_common::tools::gethostlatency::{
    Event, GETADDRINFO, GETHOSTBYNAME, GETHOSTBYNAME_R, GETHOSTBYNAME2, GETHOSTBYNAME2_R, HOST_LEN,
};
use tracer_ebpf::{
    clock::now,
    emit, filter,
    user::{Regs, read_word},
    user_function,
};

/// A lookup that began before is no more under way: a signal handler has jumped out of it.
const STALE_NS: u64 = 30_000_000_000;

#[unsafe(no_mangle)]
static MIN_NS: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static FAILED_ONLY: Global<u32> = Global::new(0);

/// A lookup under way.
#[derive(Clone, Copy)]
struct Start {
    ns: u64,
    /// The top of the stack.
    stack: u64,
    /// Where the host's name is.
    host: u64,
    /// Where the result will be, if the function does not return it.
    result: u64,
}

/// The outermost lookup of each thread: the functions call each other.
#[map]
static STARTS: LruHashMap<u32, Start> = LruHashMap::with_max_entries(16384, 0);

user_function!(getaddrinfo => |regs| starts(regs, 0), returns::<GETADDRINFO>);
user_function!(gethostbyname => |regs| starts(regs, 0), returns::<GETHOSTBYNAME>);
user_function!(gethostbyname2 => |regs| starts(regs, 0), returns::<GETHOSTBYNAME2>);
user_function!(gethostbyname_r => |regs: Regs| starts(regs, regs.arg(4)), returns::<GETHOSTBYNAME_R>);
user_function!(gethostbyname2_r => |regs: Regs| starts(regs, regs.arg(5)), returns::<GETHOSTBYNAME2_R>);

#[inline(always)]
fn starts(regs: Regs, result: u64) -> Option<()> {
    let current = filter::current()?;
    let start = Start { ns: now(), stack: regs.stack(), host: regs.arg(0), result };
    if let Some(outer) = STARTS.get_ptr(current.tid) {
        // SAFETY: the map's value, which only its own thread uses.
        let outer = unsafe { *outer };
        // What is called has less stack left than its caller.
        if start.stack < outer.stack && start.ns.saturating_sub(outer.ns) < STALE_NS {
            return None;
        }
    }
    if STARTS.insert(current.tid, start, 0).is_err() {
        emit::lost();
    }
    Some(())
}

#[inline(always)]
fn returns<const FUNCTION: u32>(regs: Regs) -> Option<()> {
    let current = filter::current()?;
    // SAFETY: as above.
    let start = unsafe { *STARTS.get_ptr(current.tid)? };
    if regs.stack() <= start.stack {
        return None;
    }
    let _ = STARTS.remove(current.tid);
    let latency_ns = now().saturating_sub(start.ns);
    let error = error::<FUNCTION>(regs.result(), start.result);
    if latency_ns < MIN_NS.load() || FAILED_ONLY.load() != 0 && error == 0 {
        return None;
    }
    let mut event = MaybeUninit::<Event>::uninit();
    // SAFETY: all before the name is written here, and so much of the name as is sent below.
    unsafe {
        let event = event.as_mut_ptr();
        emit::write_header(&mut (*event).header, regs.context(), current, FUNCTION);
        (*event).latency_ns = latency_ns;
        (*event).error = error;
        // Now and not at the start: the function has read it, so that its page is there.
        let host = (&raw mut (*event).host).cast();
        let read = bpf_probe_read_user_str(host, HOST_LEN as u32, start.host as *const _);
        let host_len = if (0..=HOST_LEN as i64).contains(&read) { read as usize } else { 0 };
        (*event).host_len = host_len as u32;
        emit::send(event, offset_of!(Event, host) + host_len);
    }
    Some(())
}

/// The error that a function returned, or 0.
#[inline(always)]
fn error<const FUNCTION: u32>(returned: u64, result: u64) -> i32 {
    match FUNCTION {
        GETADDRINFO => returned as i32,
        GETHOSTBYNAME | GETHOSTBYNAME2 => i32::from(returned == 0),
        // These return an error number; and no result either, where there is no such host.
        _ => i32::from(returned as i32 != 0 || read_word(result) == 0),
    }
}

tracer_ebpf::object!();
