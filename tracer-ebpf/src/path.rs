//! Paths: from descriptors and directories to names, across mounts.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, macros::map, maps::PerCpuArray};

use crate::{
    kernel::{dentry, file, mount, path, task_struct, vfsmount},
    ptr::Ptr,
};

/// A path's longest name, with its NUL.
pub const NAME_MAX: usize = 256;
/// Names and mounts of a path that are followed; a deeper path is cut at its front.
const MAX_STEPS: usize = 160;

/// `AT_FDCWD`
pub const AT_FDCWD: i32 = -100;

/// How far a walk has got. It is kept in a map, so that the verifier knows nothing of it at each
/// step: otherwise it would follow every mixture of names and mounts on its own.
#[repr(C)]
struct Walk {
    entry: u64,
    mounted: u64,
    /// Bytes written.
    length: u64,
    /// The root was reached.
    rooted: u64,
}

impl Walk {
    #[inline(always)]
    fn get(field: &u64) -> u64 {
        // SAFETY: a reference is valid to read.
        unsafe { (&raw const *field).read_volatile() }
    }

    #[inline(always)]
    fn set(field: &mut u64, value: u64) {
        // SAFETY: a mutable reference is valid to write.
        unsafe { (&raw mut *field).write_volatile(value) };
    }
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
    let Some(walk) = WALK.get_ptr_mut(0) else { return (0, false) };
    // SAFETY: this CPU's own value.
    let walk = unsafe { &mut *walk };
    Walk::set(&mut walk.entry, of.dentry().addr());
    Walk::set(&mut walk.mounted, of.mnt().addr());
    Walk::set(&mut walk.length, 0);
    Walk::set(&mut walk.rooted, 0);
    for _ in 0..MAX_STEPS {
        // SAFETY: as the caller says.
        if !unsafe { step(walk, buffer, limit) } {
            break;
        }
    }
    let length = (Walk::get(&walk.length) as usize).min(limit + NAME_MAX);
    (length, Walk::get(&walk.rooted) != 0)
}

/// Writes one name, or crosses one mount; false at the end. A function of its own, so that the
/// loop around it stays plain: verifiers before 6.8 or so refuse one that is entered in the middle.
///
/// # Safety
/// As for [`write_names`].
#[inline(never)]
unsafe fn step(walk: &mut Walk, buffer: *mut u8, limit: usize) -> bool {
    let entry: Ptr<dentry, false> = Ptr::new(Walk::get(&walk.entry) as *const dentry);
    let mounted: Ptr<vfsmount, false> = Ptr::new(Walk::get(&walk.mounted) as *const vfsmount);
    if entry.addr() == mounted.mnt_root().addr() {
        // A mount's root: go on where it is mounted, or end at the topmost.
        let offset_of_mnt = Ptr::<mount, false>::new(core::ptr::null()).mnt().addr();
        let mount: Ptr<mount, false> = Ptr::new((mounted.addr() - offset_of_mnt) as *const mount);
        let parent = mount.mnt_parent();
        Walk::set(&mut walk.entry, mount.mnt_mountpoint().addr());
        Walk::set(&mut walk.mounted, parent.mnt().addr());
        Walk::set(&mut walk.rooted, u64::from(parent.addr() == mount.addr()));
        return Walk::get(&walk.rooted) == 0;
    }
    let parent = entry.d_parent();
    let length = Walk::get(&walk.length) as usize;
    // Files that are in no directory, as those of pipes and memfds, are their own parents.
    Walk::set(&mut walk.rooted, u64::from(parent.addr() == entry.addr()));
    if Walk::get(&walk.rooted) != 0 || length > limit {
        return false;
    }
    // SAFETY: length is at most limit, and there is room for a name beyond it.
    let read = unsafe {
        bpf_probe_read_kernel_str(buffer.add(length).cast(), NAME_MAX as u32, entry.name().as_ptr().cast())
    };
    Walk::set(&mut walk.length, length as u64 + (read as u64 & 0x1ff));
    Walk::set(&mut walk.entry, parent.addr());
    read > 0
}
