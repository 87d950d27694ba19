//! opensnoop: the open family, each call seen once, at its exit.
#![no_std]
#![no_main]

use aya_ebpf::{
    Global,
    helpers::{bpf_probe_read_user, generated::bpf_probe_read_user_str},
    macros::map,
    maps::PerCpuArray,
};
use tracer_common::tools::opensnoop::{Event, NAMES_BASE, NAMES_CUT, NAMES_FILE, NAMES_NONE, PATH_MAX};
use tracer_ebpf::{
    emit, filter, path,
    program::Args,
    syscall::{
        Call, current_task,
        number::{CREAT, OPEN, OPENAT, OPENAT2},
    },
    tracepoint,
};

#[unsafe(no_mangle)]
static FAILED_ONLY: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static FULL_PATH: Global<u32> = Global::new(0);

/// `O_CREAT | O_WRONLY | O_TRUNC`: what creat(2) means.
const CREAT_FLAGS: u32 = 0o1101;

#[repr(C)]
struct Record {
    event: Event,
    /// The caller's path, then names.
    text: [u8; PATH_MAX + PATH_MAX + path::NAME_MAX],
}

/// Too large for the stack. System calls exit with preemption off, so nobody else writes here.
#[map]
static RECORD: PerCpuArray<Record> = PerCpuArray::with_max_entries(1, 0);

tracepoint!(sys_exit => on_exit);

#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let call = Call::of(args, [OPENAT, OPEN, OPENAT2, CREAT])?;
    if FAILED_ONLY.load() != 0 && call.ret >= 0 {
        return None;
    }
    let current = filter::current()?;
    let record = RECORD.get_ptr_mut(0)?;
    let open = Open::of(&call);
    // SAFETY: the map's value, which only this program writes, and only on this CPU.
    let record = unsafe { &mut *record };
    let event = &mut record.event;
    emit::write_header(&mut event.header, args.context(), current, 0);
    event.ret = call.ret as i32;
    event.flags = open.flags;
    event.mode = open.mode;
    event.path_len = 0;
    event.names = NAMES_NONE;
    let path_len = read_path(record, open.path);
    let names_len = write_names(record, path_len, open.dirfd);
    emit::send(record, size_of::<Event>() + path_len + names_len);
    Some(())
}

/// The arguments of whichever call it is.
struct Open {
    dirfd: i32,
    path: u64,
    flags: u32,
    mode: u32,
}

/// include/uapi/linux/openat2.h
#[repr(C)]
#[derive(Clone, Copy)]
struct OpenHow {
    flags: u64,
    mode: u64,
}

impl Open {
    #[inline(always)]
    fn of<const DIRECT: bool>(call: &Call<DIRECT>) -> Self {
        let (first, second, third) = (call.arg(0), call.arg(1), call.arg(2));
        match call.which {
            0 => Self { dirfd: first as i32, path: second, flags: third as u32, mode: call.arg(3) as u32 },
            1 => Self { dirfd: path::AT_FDCWD, path: first, flags: second as u32, mode: third as u32 },
            2 => {
                // SAFETY: the helper checks the caller's address.
                let how = unsafe { bpf_probe_read_user(third as *const OpenHow) };
                let how = how.unwrap_or(OpenHow { flags: 0, mode: 0 });
                Self { dirfd: first as i32, path: second, flags: how.flags as u32, mode: how.mode as u32 }
            }
            _ => Self { dirfd: path::AT_FDCWD, path: first, flags: CREAT_FLAGS, mode: second as u32 },
        }
    }
}

/// Reads the caller's path; its length with the NUL, or 0.
#[inline(always)]
fn read_path(record: &mut Record, path: u64) -> usize {
    // SAFETY: the buffer has room for PATH_MAX bytes, and the helper checks the caller's address.
    let read =
        unsafe { bpf_probe_read_user_str((&raw mut record.text).cast(), PATH_MAX as u32, path as *const _) };
    if read < 0 || read > PATH_MAX as i64 {
        return 0;
    }
    // Of an empty string, older kernels do not count the NUL that they write.
    let len = if read == 0 { 1 } else { read as usize };
    record.event.path_len = len as u16;
    len
}

/// Adds the names that make the path absolute, if they are wanted: the verifier takes longer for
/// them than for all the rest.
#[inline(always)]
fn write_names(record: &mut Record, path_len: usize, dirfd: i32) -> usize {
    if FULL_PATH.load() == 0 {
        return 0;
    }
    let opened = record.event.ret >= 0;
    let (names, of) = if opened {
        (NAMES_FILE, path::file_of(current_task(), record.event.ret).f_path())
    } else if path_len > 0 && record.text[0] != b'/' {
        (NAMES_BASE, path::base_of(current_task(), dirfd))
    } else {
        return 0;
    };
    // SAFETY: path_len is at most PATH_MAX, behind which there is room for as much and a name.
    let (len, rooted) =
        unsafe { path::write_names(of, (&raw mut record.text).cast::<u8>().add(path_len), PATH_MAX) };
    record.event.names = if rooted { names } else { names | NAMES_CUT };
    len
}

tracer_ebpf::object!();
