//! The names of the running kernel's system calls.
//!
//! For each call the kernel has a `syscall_metadata` with its name and number. The trace event of
//! its entry points there, and all trace events are in one list, of which tracer has got hold of a
//! member: a perf event of its own.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, macros::map, maps::Array};
use tracer_common::syscall::{EVENTS_A_RUN, MORE, NAME_LEN, NUMBERS, Names};

use crate::{
    kernel::{perf_event, trace_event_call},
    path::file_of,
    program::Args,
    ptr::Ptr,
    syscall::current_task,
};

#[map]
static SYSCALL_NAMES: Array<Names> = Array::with_max_entries(1, 0);

/// Declares the program that reads the names. It is attached to nothing: tracer runs it, with a
/// perf event's descriptor for its argument, as long as it returns [`MORE`].
#[macro_export]
macro_rules! syscall_names {
    () => {
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "raw_tp/syscall_names")]
        extern "C" fn syscall_names(context: *const u64) -> u32 {
            // SAFETY: tracer runs this with the one argument.
            let args = unsafe { $crate::program::Args::<false>::new(context) };
            $crate::syscall_names::read(args).unwrap_or(0)
        }
    };
}

/// Reads the names of the next few events.
#[inline(always)]
pub fn read(args: Args<false>) -> Option<u32> {
    // SAFETY: tracer runs this program once at a time.
    let state = unsafe { &mut *SYSCALL_NAMES.get_ptr_mut(0)? };
    if state.first == 0 {
        let event = file_of(current_task(), args.get(0) as i32).private_data().cast::<perf_event>();
        state.first = event.tp_event().addr();
        state.next = state.first;
    }
    let mut event: Ptr<trace_event_call, false> = Ptr::new(state.next as *const trace_event_call);
    for _ in 0..EVENTS_A_RUN {
        if event.is_null() {
            return None;
        }
        read_name(event, &mut state.names);
        event = after(event);
        if event.addr() == state.first {
            return None;
        }
    }
    state.next = event.addr();
    Some(MORE)
}

/// The next event in the list; at the list's head, which is no event, what is read of it is not
/// a system call's.
#[inline(always)]
fn after(event: Ptr<trace_event_call, false>) -> Ptr<trace_event_call, false> {
    let offset = Ptr::<trace_event_call, false>::new(core::ptr::null()).list().addr();
    Ptr::new(event.list().next().addr().wrapping_sub(offset) as *const trace_event_call)
}

/// Notes the name, if this is the event of a system call's entry: other events' data is their own,
/// but only the metadata of a system call points back.
#[inline(always)]
fn read_name(event: Ptr<trace_event_call, false>, names: &mut [[u8; NAME_LEN]; NUMBERS]) {
    let call = event.data();
    if call.is_null() || call.enter_event().addr() != event.addr() {
        return;
    }
    if let Some(name) = names.get_mut(call.syscall_nr() as usize) {
        // SAFETY: the name has room for as many bytes, and the helper checks the kernel's address.
        unsafe {
            bpf_probe_read_kernel_str(name.as_mut_ptr().cast(), NAME_LEN as u32, call.name().as_ptr().cast())
        };
    }
}
