//! The cgroup v2 hierarchy, wherever it is mounted (hybrid hosts have it beside v1).

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::error::Failure;

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
    find_mount(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

fn find_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next()? == "cgroup2").then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

impl Cgroup {
    /// Finds a cgroup by its directory, or by its path below the mount point.
    ///
    /// # Errors
    /// If there is no cgroup v2, or no such cgroup.
    pub fn find(path: &Path) -> anyhow::Result<Self> {
        let root = mount_point().ok_or_else(|| {
            Failure::Unsupported("--cgroup needs cgroup v2, which is not mounted here".to_owned())
        })?;
        let below = path.strip_prefix(&root).unwrap_or_else(|_| path.strip_prefix("/").unwrap_or(path));
        let directory = root.join(below);
        let metadata = fs::metadata(directory.join("cgroup.procs")).and_then(|_| fs::metadata(&directory));
        let metadata = metadata
            .map_err(|error| anyhow::anyhow!("there is no cgroup {}: {error}", directory.display()))?;
        Ok(Self { id: metadata.ino(), level: below.components().count() as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_on_hybrid_hosts() {
        let mountinfo = "30 23 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro\n\
            31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
            32 30 0:28 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,name=systemd\n";
        assert_eq!(find_mount(mountinfo), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(find_mount("1 2 0:1 / / rw - ext4 /dev/vda rw\n"), None);
    }
}
