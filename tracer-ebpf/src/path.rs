//! Paths: from descriptors and directories to names, across mounts.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, macros::map, maps::PerCpuArray};

use crate::{
    kernel::{dentry, file, mount, path, task_struct, vfsmount},
    opaque::Opaque,
    ptr::Ptr,
};

/// A path's longest name, with its NUL.
pub const NAME_MAX: usize = 256;
/// Names and mounts of a path that are followed; a deeper path is cut at its front.
const MAX_STEPS: usize = 160;

/// `AT_FDCWD`
pub const AT_FDCWD: i32 = -100;

/// How far a walk has got.
#[repr(C)]
struct Walk {
    entry: Opaque,
    mounted: Opaque,
    /// Bytes written.
    length: Opaque,
    /// The root was reached.
    rooted: Opaque,
}

#[map]
static WALK: PerCpuArray<Walk> = PerCpuArray::with_max_entries(1, 0);

/// The open file behind a descriptor of a task; null if there is none.
#[inline(always)]
pub fn file_of(task: Ptr<task_struct, false>, fd: i32) -> Ptr<file, false> {
    let table = task.files().fdt();
    if fd < 0 || fd as u32 >= table.max_fds() {
        return Ptr::new(core::ptr::null());
    }
    Ptr::new(table.fd().nth(fd as u64, 8).cast::<*const file>().read())
}

/// The directory that a path given with `dirfd` starts from.
#[inline(always)]
pub fn base_of(task: Ptr<task_struct, false>, dirfd: i32) -> Ptr<path, false> {
    if dirfd == AT_FDCWD { task.fs().pwd() } else { file_of(task, dirfd).f_path() }
}

/// Writes a path's names, each with its NUL, from the last to the first, into `buffer`, which
/// has room for `limit` bytes and one name more. Returns the number of bytes, and whether they
/// reach up to the root.
///
/// # Safety
/// `buffer` must have room for `limit + NAME_MAX` bytes, and nobody else may write paths on this
/// CPU meanwhile.
#[inline(always)]
pub unsafe fn write_names(of: Ptr<path, false>, buffer: *mut u8, limit: usize) -> (usize, bool) {
    // SAFETY: as the caller says.
    unsafe { write_names_from(of.dentry(), of.mnt(), buffer, limit) }
}

/// As [`write_names`], from an entry of a mount.
///
/// # Safety
/// As for [`write_names`].
#[inline(always)]
pub unsafe fn write_names_from(
    entry: Ptr<dentry, false>,
    mounted: Ptr<vfsmount, false>,
    buffer: *mut u8,
    limit: usize,
) -> (usize, bool) {
    let Some(walk) = WALK.get_ptr_mut(0) else { return (0, false) };
    // SAFETY: this CPU's own value.
    let walk = unsafe { &mut *walk };
    walk.entry.set(entry.addr());
    walk.mounted.set(mounted.addr());
    walk.length.set(0);
    walk.rooted.set(0);
    for _ in 0..MAX_STEPS {
        // SAFETY: as the caller says.
        if !unsafe { step(walk, buffer, limit) } {
            break;
        }
    }
    let length = (walk.length.get() as usize).min(limit + NAME_MAX);
    (length, walk.rooted.get() != 0)
}

/// Writes one name, or crosses one mount; false at the end. A function of its own, so that the
/// loop around it stays plain: verifiers before 6.8 or so refuse one that is entered in the middle.
///
/// # Safety
/// As for [`write_names`].
#[inline(never)]
unsafe fn step(walk: &mut Walk, buffer: *mut u8, limit: usize) -> bool {
    let entry: Ptr<dentry, false> = Ptr::new(walk.entry.get() as *const dentry);
    let mounted: Ptr<vfsmount, false> = Ptr::new(walk.mounted.get() as *const vfsmount);
    if entry.addr() == mounted.mnt_root().addr() {
        // A mount's root: go on where it is mounted, or end at the topmost.
        let offset_of_mnt = Ptr::<mount, false>::new(core::ptr::null()).mnt().addr();
        let mount: Ptr<mount, false> = Ptr::new((mounted.addr() - offset_of_mnt) as *const mount);
        let parent = mount.mnt_parent();
        walk.entry.set(mount.mnt_mountpoint().addr());
        walk.mounted.set(parent.mnt().addr());
        walk.rooted.set(u64::from(parent.addr() == mount.addr()));
        return walk.rooted.get() == 0;
    }
    let parent = entry.d_parent();
    let length = walk.length.get() as usize;
    // Files that are in no directory, as those of pipes and memfds, are their own parents.
    walk.rooted.set(u64::from(parent.addr() == entry.addr()));
    if walk.rooted.get() != 0 || length > limit {
        return false;
    }
    // SAFETY: length is at most limit, and there is room for a name beyond it.
    let read = unsafe {
        bpf_probe_read_kernel_str(buffer.add(length).cast(), NAME_MAX as u32, entry.name().as_ptr().cast())
    };
    walk.length.set(length as u64 + (read as u64 & 0x1ff));
    walk.entry.set(parent.addr());
    read > 0
}
