//! System calls that work on files: which call, on which file of which file system, since when.

use aya_ebpf::{
    Global,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_probe_read_kernel_str, bpf_probe_read_user},
    },
    macros::map,
    maps::HashMap,
};
use tracer_common::{
    file_io::{BARE, CUT, Calls, FS_LEN, MAX_FS, NO_OFFSET, Names, WHOLE, call},
    syscall::NUMBERS,
};

use crate::{
    call_time,
    filter::{self, Current},
    kernel::{dentry, file, inode, pt_regs, vfsmount},
    path::{self, file_of},
    program::Args,
    ptr::Ptr,
    syscall::{Call, current_task, is_compat},
};

/// The wanted calls.
#[unsafe(no_mangle)]
static FILE_CALLS: Global<Calls> = Global::new([0; 2 * NUMBERS]);
/// Files of every type are wanted: pipes, sockets, devices, not only those that hold data.
#[unsafe(no_mangle)]
static EVERY_TYPE: Global<u32> = Global::new(0);
/// Only some types of file systems are wanted.
#[unsafe(no_mangle)]
static SOME_FS: Global<u32> = Global::new(0);

/// The types of file systems wanted, by name.
#[map]
static WANTED_FS: HashMap<[u8; FS_LEN], u8> = HashMap::with_max_entries(MAX_FS, 0);

const S_IFMT: u16 = 0o170_000;
const S_IFBLK: u16 = 0o060_000;
const S_IFREG: u16 = 0o100_000;
const S_IFDIR: u16 = 0o040_000;

/// `AT_EMPTY_PATH`
const AT_EMPTY_PATH: u64 = 0x1000;

/// Whether a number is that of a wanted call, for a 64-bit or a 32-bit program: of most it is not.
#[inline(always)]
fn may_be_wanted(number: u64) -> bool {
    number < NUMBERS as u64 && kind_of(number, false) | kind_of(number, true) != 0
}

/// What the call with this number, which is below [`NUMBERS`], does; 0 if it is not wanted.
#[inline(always)]
fn kind_of(number: u64, compat: bool) -> u8 {
    let index = if compat { number as usize + NUMBERS } else { number as usize };
    // SAFETY: FILE_CALLS is an array of twice NUMBERS, written before the program was loaded.
    unsafe { (&raw const FILE_CALLS).cast::<u8>().add(index).read_volatile() }
}

/// In what is noted of a call, beside its kind: it is a 32-bit program's.
const COMPAT: u64 = 1 << 8;

/// `sys_enter(regs, number)`: notes when a wanted call of a wanted thread began.
#[inline(always)]
pub fn on_enter<const DIRECT: bool>(args: Args<DIRECT>) -> Option<()> {
    let number = args.get(1);
    if !may_be_wanted(number) {
        return None;
    }
    let current = filter::current()?;
    let compat = is_compat();
    let kind = kind_of(number, compat);
    if kind != 0 {
        call_time::begin(current.tid, u64::from(kind) | if compat { COMPAT } else { 0 });
    }
    Some(())
}

/// A wanted call that returns.
pub struct Done<const DIRECT: bool> {
    pub call: Call<DIRECT>,
    /// One of [`call`].
    pub kind: u8,
}

impl<const DIRECT: bool> Done<DIRECT> {
    /// From the arguments of `sys_exit(regs, ret)`.
    #[inline(always)]
    pub fn of(args: Args<DIRECT>) -> Option<Self> {
        let number = Self::number(args)?;
        let compat = is_compat();
        let kind = kind_of(number, compat);
        (kind != 0).then(|| Self { call: Call::any(args, compat), kind })
    }

    /// The same, with its thread and the nanoseconds it took, if [`on_enter`] noted its begin.
    #[inline(always)]
    pub fn timed(args: Args<DIRECT>) -> Option<(Self, Current, u64)> {
        Self::number(args)?;
        let id = bpf_get_current_pid_tgid();
        let current = Current { pid: (id >> 32) as u32, tid: id as u32 };
        let (noted, ns) = call_time::end(current.tid)?;
        let call = Call::any(args, noted & COMPAT != 0);
        Some((Self { call, kind: noted as u8 }, current, ns))
    }

    /// The number of what may be a wanted call.
    #[inline(always)]
    fn number(args: Args<DIRECT>) -> Option<u64> {
        let regs: Ptr<pt_regs, DIRECT> = args.ptr(0);
        let number = regs.orig_ax();
        may_be_wanted(number).then_some(number)
    }

    /// The kind that stands for all of the operation.
    #[inline(always)]
    pub fn operation(&self) -> u8 {
        match self.kind {
            call::READ_AT => call::READ,
            call::WRITE_AT => call::WRITE,
            call::FSTATAT | call::STATX => call::FSTAT,
            kind => kind,
        }
    }

    /// The descriptor of the file that the call is about; of two, the one that is written.
    #[inline(always)]
    pub fn fd(&self) -> i32 {
        match self.kind {
            call::OPEN => self.call.ret as i32,
            call::COPY => self.call.arg(2) as i32,
            call::FSTATAT if !self.is_on_fd(self.call.arg(3)) => -1,
            call::STATX if !self.is_on_fd(self.call.arg(2)) => -1,
            _ => self.call.arg(0) as i32,
        }
    }

    /// The descriptors that the call reads from and writes to; -1 where there is none.
    #[inline(always)]
    pub fn fds(&self) -> (i32, i32) {
        let (first, second) = (self.call.arg(0) as i32, self.call.arg(1) as i32);
        match self.kind {
            call::READ | call::READ_AT => (first, -1),
            call::WRITE | call::WRITE_AT => (-1, first),
            call::SENDFILE => (second, first),
            call::COPY | call::SPLICE => (first, self.call.arg(2) as i32),
            _ => (-1, -1),
        }
    }

    /// Whether a call with a path and these flags is about its descriptor: the path is empty.
    #[inline(always)]
    fn is_on_fd(&self, flags: u64) -> bool {
        let path = self.call.arg(1);
        if flags & AT_EMPTY_PATH == 0 {
            return false;
        }
        if path == 0 {
            return true;
        }
        let mut first = 0u8;
        // SAFETY: the byte is on the stack, and the helper checks the caller's address.
        let read = unsafe { bpf_probe_read_user((&raw mut first).cast(), 1, path as *const _) };
        read == 0 && first == 0
    }

    /// Where in the file the call began.
    #[inline(always)]
    pub fn offset(&self, of: &OpenFile) -> u64 {
        // Of its own; preadv2 and pwritev2 take -1 for the position.
        let at = match self.kind {
            call::READ | call::WRITE => u64::MAX,
            call::READ_AT | call::WRITE_AT if self.call.compat => {
                self.call.arg(3) | self.call.arg(4) << u32::BITS
            }
            call::READ_AT | call::WRITE_AT => self.call.arg(3),
            _ => return NO_OFFSET,
        };
        let kind = of.mode & S_IFMT;
        if kind != S_IFREG && kind != S_IFBLK {
            NO_OFFSET
        } else if at == u64::MAX {
            // By now the call has moved the position on.
            (of.file.f_pos() as u64).saturating_sub(self.call.ret.max(0) as u64)
        } else {
            at
        }
    }
}

/// An open file of a wanted type.
pub struct OpenFile {
    pub file: Ptr<file, false>,
    pub inode: Ptr<inode, false>,
    pub mode: u16,
}

impl OpenFile {
    /// The file behind a descriptor of the current thread.
    #[inline(always)]
    pub fn of(fd: i32) -> Option<Self> {
        let file = file_of(current_task(), fd);
        if file.is_null() {
            return None;
        }
        let inode = file.f_inode();
        let mode = inode.i_mode();
        let kind = mode & S_IFMT;
        if EVERY_TYPE.load() == 0 && kind != S_IFREG && kind != S_IFDIR {
            return None;
        }
        Some(Self { file, inode, mode })
    }

    /// Whether its file system is of a wanted type. If all are, that takes no look.
    #[inline(always)]
    pub fn fs_is_wanted(&self) -> bool {
        SOME_FS.load() == 0 || self.fs().is_some()
    }

    /// The name of its file system's type, if that is wanted.
    #[inline(always)]
    pub fn fs(&self) -> Option<[u8; FS_LEN]> {
        let name = self.inode.i_sb().s_type().name();
        let mut fs = [0; FS_LEN];
        // SAFETY: the array is as long, and the helper checks the kernel's address.
        unsafe { bpf_probe_read_kernel_str(fs.as_mut_ptr().cast(), FS_LEN as u32, name.as_ptr().cast()) };
        // SAFETY: the value is never read, only its presence matters.
        if SOME_FS.load() != 0 && unsafe { WANTED_FS.get(fs) }.is_none() {
            return None;
        }
        Some(fs)
    }
}

/// Writes the names of an entry of a mount into `buffer`, and what they are. Returns their length.
///
/// # Safety
/// `buffer` must have room for `limit + path::NAME_MAX` bytes, and nobody else may write paths on
/// this CPU meanwhile.
#[inline(always)]
pub unsafe fn write_names(
    names: &mut Names,
    mode: u16,
    entry: Ptr<dentry, false>,
    mounted: Ptr<vfsmount, false>,
    buffer: *mut u8,
    limit: usize,
) -> usize {
    // SAFETY: as the caller says.
    let (len, rooted) = unsafe { path::write_names_from(entry, mounted, buffer, limit) };
    names.mode = mode.into();
    if len > 0 {
        names.form = if rooted { WHOLE } else { CUT };
        return len;
    }
    names.form = BARE;
    // SAFETY: there is room for a name, and the helper checks the kernel's address.
    let read = unsafe {
        bpf_probe_read_kernel_str(buffer.cast(), path::NAME_MAX as u32, entry.name().as_ptr().cast())
    };
    if read < 0 { 0 } else { read as usize & 0x1ff }
}
