//! Places that a test makes for itself, and takes away again.

use std::{
    ffi::{CString, OsStr},
    fs::{self, Permissions},
    ops::Deref,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Context, Result, sys};

/// A directory.
pub struct Place(PathBuf);

impl Place {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path as an argument; the tests choose their names, so it is text.
    pub fn arg(&self) -> &str {
        super::tool::arg(&self.0)
    }

    /// The path of a file in it, as an argument.
    pub fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.arg())
    }

    /// The path of a file in it, for a system call.
    pub fn text(&self, name: impl AsRef<[u8]>) -> CString {
        sys::text([self.0.as_os_str().as_bytes(), b"/", name.as_ref()].concat())
    }
    /// A program by a name of the test's choice.
    pub fn program(&self, name: impl AsRef<OsStr>, of: &Path) -> Result<PathBuf> {
        let path = self.0.join(name.as_ref());
        // A link costs nothing, but a copy can be on another file system.
        if fs::hard_link(of, &path).is_err() {
            fs::copy(of, &path).with_context(|| format!("copying {}", of.display()))?;
        }
        Ok(path)
    }
}

/// A directory of a test's own, open to every user; dropping it removes it.
pub struct Scratch {
    place: Place,
    _directory: TempDir,
}

impl Scratch {
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("tracer-").tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777))?;
        Ok(Self { place: Place::new(directory.path()), _directory: directory })
    }
}

impl Deref for Scratch {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// A cgroup of a test's own; dropping it removes it, if it is empty.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// A child of the root of cgroup v2.
    pub fn new(name: &str) -> Result<Self> {
        let name = format!("tracer-tests-{}-{name}", sys::pid());
        Self::create(root()?.join(name))
    }

    pub fn child(&self, name: &str) -> Result<Self> {
        Self::create(self.0.join(name))
    }

    fn create(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    pub fn arg(&self) -> &str {
        super::tool::arg(&self.0)
    }

    pub fn add(&self, pid: u32) -> Result<()> {
        let members = self.0.join("cgroup.procs");
        fs::write(&members, pid.to_string()).with_context(|| members.display().to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where cgroup v2 is mounted.
fn root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut places = fields.filter(|fields| fields.get(2) == Some(&"cgroup2"));
    let place = places.next().context("no cgroup v2 is mounted")?;
    Ok(place[1].into())
}
