//! filetop: reads and writes by process and file, or by directory, counted as they return.
#![no_std]
#![no_main]

use aya_ebpf::{
    Global,
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use tracer_common::{
    record::COMM_LEN,
    tools::filetop::{Counts, Key, Note},
};
use tracer_ebpf::{
    counter, emit,
    file_io::{Done, OpenFile, write_names},
    filter,
    path::NAME_MAX,
    program::Args,
    tracepoint,
};

#[unsafe(no_mangle)]
static BY_DIRECTORY: Global<u32> = Global::new(0);

/// Not one for each CPU: there would be no room for many files on large machines.
#[map]
static FILES: HashMap<Key, Counts> = HashMap::with_max_entries(1, counter::GROWS);

/// Room for a path's names.
const PATH_MAX: usize = 4096;

#[repr(C)]
struct Record {
    note: Note,
    names: [u8; PATH_MAX + NAME_MAX],
}

/// Too large for the stack. System calls exit with preemption off, so nobody else writes here.
#[map]
static NOTE: PerCpuArray<Record> = PerCpuArray::with_max_entries(1, 0);

tracepoint!(sys_exit => on_exit);

/// `sys_exit(regs, ret)`
#[inline(always)]
fn on_exit<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let done = Done::of(args)?;
    let bytes = u64::try_from(done.call.ret).ok()?;
    let pid = filter::current()?.pid;
    let (from, to) = done.fds();
    if from >= 0 {
        count(from, Counts { reads: 1, read_bytes: bytes, ..Counts::default() }, pid);
    }
    if to >= 0 {
        count(to, Counts { writes: 1, write_bytes: bytes, ..Counts::default() }, pid);
    }
    Some(())
}

/// Adds to the counters of a file.
#[inline(always)]
fn count(fd: i32, by: Counts, pid: u32) -> Option<()> {
    let file = OpenFile::of(fd)?;
    file.fs_is_wanted().then_some(())?;
    let path = file.file.f_path();
    let (mut entry, mut inode, mut mode) = (path.dentry(), file.inode, file.mode);
    let by_directory = BY_DIRECTORY.load() != 0;
    if by_directory {
        entry = entry.d_parent();
        inode = entry.d_inode();
        mode = inode.i_mode();
    }
    let mut key = Key {
        comm: [0; COMM_LEN],
        ino: inode.i_ino(),
        dev: inode.i_sb().s_dev(),
        generation: inode.i_generation(),
        pid: if by_directory { 0 } else { pid },
        unused: 0,
    };
    if !by_directory {
        emit::write_comm(&mut key.comm);
    }
    if add(&key, by).is_some() {
        return Some(());
    }
    // Another CPU may have made it meanwhile; whoever makes it tells the name.
    if FILES.insert(key, Counts::default(), BPF_NOEXIST.into()).is_ok() {
        let record = NOTE.get_ptr_mut(0)?;
        // SAFETY: the map's value, which only this program writes, and only on this CPU.
        let record = unsafe { &mut *record };
        record.note.key = key;
        // SAFETY: the buffer has room for a name beyond PATH_MAX; only this program writes paths.
        let len = unsafe {
            let buffer = record.names.as_mut_ptr();
            write_names(&mut record.note.names, mode, entry, path.mnt(), buffer, PATH_MAX)
        };
        emit::send_bare(record, size_of::<Note>() + len);
    }
    if add(&key, by).is_none() {
        emit::lost();
    }
    Some(())
}

#[inline(always)]
fn add(key: &Key, by: Counts) -> Option<()> {
    let counts = FILES.get_ptr_mut(key)?;
    // SAFETY: the map's value, aligned and valid as long as the program runs.
    unsafe {
        if by.reads != 0 {
            counter::add(&raw mut (*counts).reads, by.reads);
            counter::add(&raw mut (*counts).read_bytes, by.read_bytes);
        } else {
            counter::add(&raw mut (*counts).writes, by.writes);
            counter::add(&raw mut (*counts).write_bytes, by.write_bytes);
        }
    }
    Some(())
}

tracer_ebpf::object!();
