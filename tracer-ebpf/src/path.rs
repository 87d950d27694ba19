//! Paths: from descriptors and directories to names, across mounts.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, macros::map, maps::PerCpuArray};

use crate::{
    kernel::{dentry, file, mount, path, task_struct, vfsmount},
    ptr::Ptr,
};

/// A path's longest name, with its NUL.
pub const NAME_MAX: usize = 256;
/// Names of a path that are followed; a deeper path is cut at its front.
const MAX_DEPTH: usize = 64;

/// `AT_FDCWD`
pub const AT_FDCWD: i32 = -100;

/// Bytes written so far. It lives in a map so that the verifier forgets its range at each step:
/// otherwise it would follow every mixture of names and mounts on its own.
#[map]
static LENGTH: PerCpuArray<usize> = PerCpuArray::with_max_entries(1, 0);

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
    let mut entry: Ptr<dentry, false> = of.dentry();
    let mut mounted: Ptr<vfsmount, false> = of.mnt();
    let offset_of_mnt = Ptr::<mount, false>::new(core::ptr::null()).mnt().addr();
    let Some(written) = LENGTH.get_ptr_mut(0) else { return (0, false) };
    let mut rooted = false;
    // SAFETY: this CPU's own value.
    unsafe { written.write_volatile(0) };
    for _ in 0..MAX_DEPTH {
        if entry.addr() == mounted.mnt_root().addr() {
            // A mount's root: go on where it is mounted, or end at the topmost.
            let mount: Ptr<mount, false> = Ptr::new((mounted.addr() - offset_of_mnt) as *const mount);
            let parent = mount.mnt_parent();
            if parent.is_null() || parent.addr() == mount.addr() {
                rooted = true;
                break;
            }
            entry = mount.mnt_mountpoint();
            mounted = parent.mnt();
            continue;
        }
        let parent = entry.d_parent();
        // SAFETY: as above.
        let length = unsafe { written.read_volatile() };
        // Files that are in no directory, as those of pipes and memfds, are their own parents.
        if parent.addr() == entry.addr() {
            rooted = true;
            break;
        }
        if parent.is_null() || length > limit {
            break;
        }
        // SAFETY: length is at most limit, and there is room for a name beyond it.
        let read = unsafe {
            bpf_probe_read_kernel_str(
                buffer.add(length).cast(),
                NAME_MAX as u32,
                entry.name().as_ptr().cast(),
            )
        };
        if read <= 0 || read > NAME_MAX as i64 {
            break;
        }
        // SAFETY: as above.
        unsafe { written.write_volatile(length + read as usize) };
        entry = parent;
    }
    // SAFETY: as above.
    let length = unsafe { written.read_volatile() };
    (length.min(limit + NAME_MAX), rooted)
}
