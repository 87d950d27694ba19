//! The system calls: bpf(2) and perf_event_open(2), and nothing above them.

use std::{
    ffi::{CStr, CString},
    io, mem,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use aya_obj::generated::{
    bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_map_type, bpf_prog_info, bpf_prog_type,
    perf_event_attr, perf_hw_id, perf_sw_ids, perf_type_id,
};

/// Length of a program's or map's name in the kernel, with its final NUL.
const NAME_LEN: usize = 16;
/// Room for the verifier's explanation of a refusal.
const LOG_SIZE: usize = 1 << 20;

/// A map to be created.
#[derive(Debug)]
pub struct MapSpec<'a> {
    pub name: &'a str,
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
}

/// A program to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct ProgramSpec<'a> {
    pub name: &'a str,
    pub kind: bpf_prog_type,
    pub attach_type: Option<bpf_attach_type>,
    /// The BTF id of what it attaches to, for BTF-typed programs.
    pub attach_btf_id: u32,
    pub instructions: &'a [bpf_insn],
    pub license: &'a CStr,
}

fn zeroed() -> bpf_attr {
    // SAFETY: bpf_attr is a union of plain integers: all zeroes is what the kernel asks of unused
    // fields.
    unsafe { mem::zeroed() }
}

fn bpf(cmd: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: attr is a whole bpf_attr; the pointers in it are valid for the call, as each caller
    // below sees to.
    let ret = unsafe { libc::syscall(libc::SYS_bpf, cmd as libc::c_long, attr, size_of::<bpf_attr>()) };
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

fn bpf_fd(cmd: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(cmd, attr)?;
    // SAFETY: these commands return a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn object_name(name: &str) -> [libc::c_char; NAME_LEN] {
    let mut bytes = [0; NAME_LEN];
    for (to, from) in bytes.iter_mut().take(NAME_LEN - 1).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    bytes
}

/// Creates a map.
pub fn map_create(spec: &MapSpec<'_>) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: writing the fields of this command's variant.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    create.map_type = spec.map_type;
    create.key_size = spec.key_size;
    create.value_size = spec.value_size;
    create.max_entries = spec.max_entries;
    create.map_flags = spec.flags;
    create.map_name = object_name(spec.name);
    bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr)
}

fn map_element(cmd: bpf_cmd, map: BorrowedFd<'_>, key: &[u8], value: *mut u8, flags: u64) -> io::Result<()> {
    let mut attr = zeroed();
    // SAFETY: writing the fields of this command's variant.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = key.as_ptr() as u64;
    element.__bindgen_anon_1.value = value as u64;
    element.flags = flags;
    bpf(cmd, &mut attr).map(drop)
}

/// Sets the value of a key.
pub fn map_update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    map_element(bpf_cmd::BPF_MAP_UPDATE_ELEM, map, key, value.as_ptr().cast_mut(), 0)
}

/// Reads the value of a key into `value`; false if there is no such key.
pub fn map_lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    found(map_element(bpf_cmd::BPF_MAP_LOOKUP_ELEM, map, key, value.as_mut_ptr(), 0))
}

/// Removes a key; false if there is no such key.
pub fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    found(map_element(bpf_cmd::BPF_MAP_DELETE_ELEM, map, key, std::ptr::null_mut(), 0))
}

/// Writes the key after `key` (the first for `None`) into `next`; false at the end.
pub fn map_next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let mut attr = zeroed();
    // SAFETY: writing the fields of this command's variant.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = key.map_or(0, |key| key.as_ptr() as u64);
    element.__bindgen_anon_1.next_key = next.as_mut_ptr() as u64;
    found(bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr).map(drop))
}

/// Reads entries of a hash map from a place in it on, which the last call gave: how many, and where to go on, if
/// there are more. `keys` and `values` have room for `count`.
pub fn map_lookup_batch(
    map: BorrowedFd<'_>,
    from: Option<&u32>,
    count: u32,
    keys: &mut [u8],
    values: &mut [u8],
) -> io::Result<(u32, Option<u32>)> {
    let mut next = 0_u32;
    let mut attr = zeroed();
    attr.batch.in_batch = from.map_or(0, |from| std::ptr::from_ref(from) as u64);
    attr.batch.out_batch = (&raw mut next) as u64;
    attr.batch.keys = keys.as_mut_ptr() as u64;
    attr.batch.values = values.as_mut_ptr() as u64;
    attr.batch.count = count;
    attr.batch.map_fd = map.as_raw_fd() as u32;
    let more = found(bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr).map(drop))?;
    // SAFETY: the kernel has set the number of this command's variant.
    Ok((unsafe { attr.batch.count }, more.then_some(next)))
}

fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a map read-only for user space; programs loaded from then on see its values as constants.
pub fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd() as u32;
    bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr).map(drop)
}

/// `BPF_LOG_LEVEL1`: what the verifier saw.
const LOG_STEPS: u32 = 1;
/// `BPF_LOG_STATS`: only how much work it was.
const LOG_STATS: u32 = 4;

/// Loads a program.
///
/// # Errors
/// With the verifier's log, which may be empty.
pub fn program_load(spec: &ProgramSpec<'_>) -> Result<OwnedFd, (io::Error, String)> {
    let first = match load_with_log(spec, 0, &mut []) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    // Only a refusal is worth the time that writing a log takes.
    let mut log = vec![0; LOG_SIZE];
    match load_with_log(spec, LOG_STEPS, &mut log) {
        Ok(fd) => Ok(fd),
        Err(error) => {
            let error = if error.raw_os_error() == Some(libc::ENOSPC) { first } else { error };
            Err((error, log_text(&log)))
        }
    }
}

/// What verifying a program that the kernel accepts took.
#[must_use]
pub fn program_stats(spec: &ProgramSpec<'_>) -> String {
    let mut log = vec![0; LOG_SIZE];
    match load_with_log(spec, LOG_STATS, &mut log) {
        Ok(_) => log_text(&log),
        Err(error) => error.to_string(),
    }
}

fn log_text(log: &[u8]) -> String {
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    String::from_utf8_lossy(&log[..end]).into_owned()
}

fn load_with_log(spec: &ProgramSpec<'_>, level: u32, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: writing the fields of this command's variant.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = spec.kind as u32;
    load.insns = spec.instructions.as_ptr() as u64;
    load.insn_cnt = spec.instructions.len() as u32;
    load.license = spec.license.as_ptr() as u64;
    load.prog_name = object_name(spec.name);
    if let Some(attach_type) = spec.attach_type {
        load.expected_attach_type = attach_type as u32;
    }
    load.attach_btf_id = spec.attach_btf_id;
    if !log.is_empty() {
        load.log_level = level;
        load.log_size = log.len() as u32;
        load.log_buf = log.as_mut_ptr() as u64;
    }
    bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr)
}

/// Runs a raw tracepoint program once, in this thread, with these arguments; what it returned.
pub fn program_run(program: BorrowedFd<'_>, arguments: &[u64]) -> io::Result<u32> {
    let mut attr = zeroed();
    // SAFETY: writing the fields of this command's variant.
    let test = unsafe { &mut attr.test };
    test.prog_fd = program.as_raw_fd() as u32;
    test.ctx_in = arguments.as_ptr() as u64;
    test.ctx_size_in = size_of_val(arguments) as u32;
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: reading a field of this command's variant.
    Ok(unsafe { attr.test.retval })
}

/// What the kernel tells of a program; zeroes where it is too old to.
pub fn program_info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    // SAFETY: all zeroes is a valid bpf_prog_info.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    let mut attr = zeroed();
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info = &raw mut info as u64;
    attr.info.info_len = size_of_val(&info) as u32;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// Attaches a raw tracepoint program by name, or (`None`) a BTF-typed one to what it was loaded for.
pub fn raw_tracepoint_open(name: Option<&CStr>, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.raw_tracepoint.name = name.map_or(0, |name| name.as_ptr() as u64);
    attr.raw_tracepoint.prog_fd = program.as_raw_fd() as u32;
    bpf_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)
}

/// Links an iterator program.
pub fn iter_link(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Links a program to an offset in a file, without a perf event: since 6.6.
pub fn uprobe_link(
    program: BorrowedFd<'_>,
    is_return: bool,
    file: &Path,
    offset: u64,
) -> io::Result<OwnedFd> {
    let file = CString::new(file.as_os_str().as_bytes())?;
    let offsets = [offset];
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    // SAFETY: writing the fields of this command's variant.
    let multi = unsafe { &mut attr.link_create.__bindgen_anon_3.uprobe_multi };
    multi.path = file.as_ptr() as u64;
    multi.offsets = offsets.as_ptr() as u64;
    multi.cnt = offsets.len() as u32;
    multi.flags = u32::from(is_return);
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Opens one run of a linked iterator; reading it to its end runs the program.
pub fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.iter_create.link_fd = link.as_raw_fd() as u32;
    bpf_fd(bpf_cmd::BPF_ITER_CREATE, &mut attr)
}

const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;
/// `PERF_TYPE_TRACEPOINT`
pub const PERF_TYPE_TRACEPOINT: u32 = 2;

/// Opens the perf event of a probe, for all processes. On one CPU: its program runs on every CPU anyway.
fn perf_event_open(attr: &mut perf_event_attr) -> io::Result<OwnedFd> {
    attr.__bindgen_anon_1.sample_period = 1;
    perf_event_open_on(attr, 0)
}

/// Opens a perf event for all processes, on one CPU.
fn perf_event_open_on(attr: &mut perf_event_attr, cpu: u32) -> io::Result<OwnedFd> {
    attr.size = size_of::<perf_event_attr>() as u32;
    let (pid, group) = (-1, -1);
    // SAFETY: attr is whole and what it points to is valid for the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const *attr, pid, cpu, group, PERF_FLAG_FD_CLOEXEC)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call returned a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Opens the perf event of the tracepoint with this id.
pub fn perf_tracepoint(id: u64) -> io::Result<OwnedFd> {
    // SAFETY: all zeroes is a valid perf_event_attr.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.type_ = PERF_TYPE_TRACEPOINT;
    attr.config = id;
    perf_event_open(&mut attr)
}

/// Opens an event that samples a CPU, by its cycles or by a timer.
pub fn perf_sample(by_cycles: bool, hz: u32, cpu: u32) -> io::Result<OwnedFd> {
    // SAFETY: all zeroes is a valid perf_event_attr.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    let (kind, counter) = match by_cycles {
        true => (perf_type_id::PERF_TYPE_HARDWARE, perf_hw_id::PERF_COUNT_HW_CPU_CYCLES as u64),
        false => (perf_type_id::PERF_TYPE_SOFTWARE, perf_sw_ids::PERF_COUNT_SW_CPU_CLOCK as u64),
    };
    attr.type_ = kind as u32;
    attr.config = counter;
    attr.set_disabled(1);
    attr.set_freq(1);
    attr.__bindgen_anon_1.sample_freq = hz.into();
    perf_event_open_on(&mut attr, cpu)
}

/// Opens a kprobe (or kretprobe) on a kernel function.
pub fn perf_kprobe(pmu: u32, is_return: bool, function: &str) -> io::Result<OwnedFd> {
    let function = CString::new(function)?;
    // SAFETY: all zeroes is a valid perf_event_attr.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.type_ = pmu;
    attr.config = u64::from(is_return);
    attr.__bindgen_anon_3.config1 = function.as_ptr() as u64;
    perf_event_open(&mut attr)
}

/// Opens a uprobe (or uretprobe) at an offset in a file.
pub fn perf_uprobe(pmu: u32, is_return: bool, file: &Path, offset: u64) -> io::Result<OwnedFd> {
    let file = CString::new(file.as_os_str().as_bytes())?;
    // SAFETY: all zeroes is a valid perf_event_attr.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.type_ = pmu;
    attr.config = u64::from(is_return);
    attr.__bindgen_anon_3.config1 = file.as_ptr() as u64;
    attr.__bindgen_anon_4.config2 = offset;
    perf_event_open(&mut attr)
}

/// Attaches a program to a perf event. Closing the event detaches it.
///
/// Done by ioctl, since BPF links for perf events came only with 5.15.
pub fn perf_attach(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    for (request, argument) in [(PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()), (PERF_EVENT_IOC_ENABLE, 0)] {
        // SAFETY: both requests take an integer.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Tries whether this kernel has maps of a type at all.
#[must_use]
pub fn has_map_type(map_type: bpf_map_type) -> bool {
    let (key_size, value_size, max_entries) = match map_type {
        bpf_map_type::BPF_MAP_TYPE_RINGBUF => (0, 0, 4096),
        _ => (4, 8, 1),
    };
    map_create(&MapSpec {
        name: "probe",
        map_type: map_type as u32,
        key_size,
        value_size,
        max_entries,
        flags: 0,
    })
    .is_ok()
}
