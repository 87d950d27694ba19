//! The cgroup v2 hierarchy, wherever it is mounted (hybrid hosts have it beside v1).

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use crate::error::Failure;

/// The inode of the hierarchy's own root.
const ROOT_INODE: u64 = 1;

/// A cgroup, as the kernel's filter knows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// The inode of its directory.
    pub id: u64,
    /// Its depth below the root.
    pub level: u32,
}

/// Where cgroup v2 is mounted.
#[must_use]
pub fn mount_point() -> Option<PathBuf> {
    mounts("cgroup2").into_iter().next()
}

/// Where file systems of this type are mounted.
fn mounts(kind: &str) -> Vec<PathBuf> {
    find_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), kind)
}

fn find_mounts(mountinfo: &str, kind: &str) -> Vec<PathBuf> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next()? == kind).then(|| before.split(' ').nth(4).map(PathBuf::from))?
    });
    mounts.collect()
}

fn none_mounted() -> Failure {
    Failure::Unsupported("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup".to_owned())
}

impl Cgroup {
    /// Finds a cgroup by its directory, or by its path below the mount point.
    ///
    /// # Errors
    /// If there is no cgroup v2, or no such cgroup.
    pub fn find(path: &Path) -> anyhow::Result<Self> {
        let root = mount_point().ok_or_else(none_mounted)?;
        let directory = [path.to_owned(), root.join(path.strip_prefix("/").unwrap_or(path))]
            .into_iter()
            .find_map(|path| path.canonicalize().ok().filter(|path| path.starts_with(&root)));
        let Some(directory) = directory.filter(|directory| directory.join("cgroup.procs").exists()) else {
            return Err(no_cgroup(path, &root));
        };
        // In a cgroup namespace, or a container's view, the depth can't be told.
        if fs::metadata(&root)?.ino() != ROOT_INODE {
            return Err(Failure::Unsupported(format!(
                "{} is not the root of cgroup v2, only a part of it: run tracer in the host's cgroup namespace",
                root.display()
            ))
            .into());
        }
        let level = directory.strip_prefix(&root)?.components().count() as u32;
        Ok(Self { id: fs::metadata(&directory)?.ino(), level })
    }
}

fn no_cgroup(path: &Path, root: &Path) -> anyhow::Error {
    if mounts("cgroup").iter().any(|mount| path.starts_with(mount)) {
        anyhow::anyhow!("{} is of cgroup v1: v2 is below {}", path.display(), root.display())
    } else {
        anyhow::anyhow!("there is no cgroup {} (below {})", path.display(), root.display())
    }
}

/// From cgroups' ids to their paths.
pub struct Hierarchy {
    root: PathBuf,
    directory: File,
}

/// `struct file_handle` of a cgroup.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: u64,
}

/// `FILEID_KERNFS`
const KERNFS: i32 = 0xfe;

impl Hierarchy {
    /// # Errors
    /// If cgroup v2 is not mounted.
    pub fn open() -> anyhow::Result<Self> {
        let root = mount_point().ok_or_else(none_mounted)?;
        Ok(Self { directory: File::open(&root)?, root })
    }

    /// The path of the cgroup with this id, below the mount point.
    ///
    /// # Errors
    /// If it is gone, or outside what is mounted here; or this process may not ask (`CAP_DAC_READ_SEARCH`).
    pub fn path(&self, id: u64) -> io::Result<PathBuf> {
        let handle = Handle { bytes: 8, kind: KERNFS, id };
        let (mount, flags) = (self.directory.as_raw_fd(), libc::O_PATH | libc::O_CLOEXEC);
        // SAFETY: the handle lives until the call returns, and is as long as it says.
        let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount, &raw const handle, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        let below = path.strip_prefix(&self.root).map_err(|_| io::ErrorKind::NotFound)?;
        Ok(Path::new("/").join(below))
    }
}

/// Calls `visit` with every cgroup's directory, those above before those below.
///
/// # Errors
/// If cgroup v2 is not mounted.
pub fn walk(mut visit: impl FnMut(&Path)) -> anyhow::Result<()> {
    let mut left = vec![mount_point().ok_or_else(none_mounted)?];
    while let Some(directory) = left.pop() {
        visit(&directory);
        // One that is gone meanwhile has nothing below it.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_on_hybrid_hosts() {
        let mountinfo = "30 23 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro\n\
            31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
            32 30 0:28 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,name=systemd\n";
        assert_eq!(find_mounts(mountinfo, "cgroup2"), [Path::new("/sys/fs/cgroup/unified")]);
        assert_eq!(find_mounts(mountinfo, "cgroup"), [Path::new("/sys/fs/cgroup/systemd")]);
        assert!(find_mounts("1 2 0:1 / / rw - ext4 /dev/vda rw\n", "cgroup2").is_empty());
    }
}
