//! Files that stacks lead through: programs and libraries, kept open.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    rc::Rc,
};

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub(super) u32);

/// The files so far.
#[derive(Default)]
pub struct Files {
    ids: HashMap<String, FileId>,
    files: Vec<Kept>,
    opened_late: bool,
}

struct Kept {
    name: Rc<str>,
    file: Option<File>,
    /// A program or a library; not so the memory that some run-time compilers share by a file.
    is_program: bool,
}

impl Files {
    /// The file of a mapping: known by its device and number in `/proc/PID/maps`, opened if it is new.
    pub fn of_mapping(&mut self, pid: u32, range: &str, identity: &str, path: &str) -> FileId {
        let file = match self.ids.get(identity) {
            Some(id) if self.files[id.0 as usize].file.is_some() => return *id,
            _ => open(pid, range, identity, path),
        };
        // The process that it was first seen in may have gone too soon.
        if let Some(id) = self.ids.get(identity) {
            self.opened_late |= file.is_some();
            self.files[id.0 as usize].file = file;
            return *id;
        }
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = if name == "[vdso]" { "vdso" } else { name };
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let mut magic = [0; 4];
        let is_program = file
            .as_ref()
            .is_none_or(|file| file.read_exact_at(&mut magic, 0).is_err() || magic == *b"\x7fELF");
        self.files.push(Kept { name: name.into(), file, is_program });
        self.ids.insert(identity.to_owned(), id);
        id
    }

    /// Whether, since the last call, a file could be opened that could not be before.
    pub fn take_opened_late(&mut self) -> bool {
        std::mem::take(&mut self.opened_late)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether it may have names of functions.
    pub fn is_program(&self, id: FileId) -> bool {
        self.files[id.0 as usize].is_program
    }

    /// The last part of its path.
    pub fn name(&self, id: FileId) -> &Rc<str> {
        &self.files[id.0 as usize].name
    }

    /// A path that leads to the file that is kept open.
    pub fn path(&self, id: FileId) -> Option<PathBuf> {
        let file = self.files[id.0 as usize].file.as_ref()?;
        Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into())
    }
}

/// Opens what is mapped.
fn open(pid: u32, range: &str, identity: &str, path: &str) -> Option<File> {
    if path == "[vdso]" {
        return own_vdso().ok();
    }
    // Whatever has become of its path since, and whoever's root that path is below.
    let mapped = File::open(Path::new("/proc").join(pid.to_string()).join("map_files").join(range)).ok();
    let mapped = mapped.filter(|file| file.metadata().is_ok_and(|file| file.is_file()));
    // The process may be gone. Nobody is to be waited for at its path, should something else be there now.
    mapped.or_else(|| {
        let here = fs::metadata(path).ok().filter(|here| here.is_file() && identity_of(here) == identity)?;
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
        file.metadata().is_ok_and(|file| (file.dev(), file.ino()) == (here.dev(), here.ino())).then_some(file)
    })
}

/// A file as `/proc/PID/maps` tells of it.
fn identity_of(file: &fs::Metadata) -> String {
    let device = file.dev();
    format!("{:02x}:{:02x} {} ", libc::major(device), libc::minor(device), file.ino())
}

/// The library that the kernel maps into processes, as a file.
fn own_vdso() -> io::Result<File> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).ok_or(io::ErrorKind::NotFound)?;
    let number = |text: &str| usize::from_str_radix(text, 16).map_err(io::Error::other);
    let range = line.split(' ').next().and_then(|range| range.split_once('-'));
    let (start, end) = range.ok_or(io::ErrorKind::InvalidData)?;
    let (start, end) = (number(start)?, number(end)?);
    // SAFETY: the kernel mapped these pages for reading, and nobody unmaps them.
    let bytes = unsafe { std::slice::from_raw_parts(start as *const u8, end.saturating_sub(start)) };
    // SAFETY: the name is a string, and the descriptor is a new one, which nobody else has.
    let mut file = unsafe {
        match libc::memfd_create(c"vdso".as_ptr(), libc::MFD_CLOEXEC) {
            -1 => return Err(io::Error::last_os_error()),
            fd => File::from_raw_fd(fd),
        }
    };
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_outlives_its_process() {
        let path = std::env::current_exe().unwrap();
        let identity = identity_of(&fs::metadata(&path).unwrap());
        let path = path.to_str().unwrap();
        let nobody = u32::MAX;
        let mut files = Files::default();
        let other = files.of_mapping(nobody, "1-2", "00:00 1 ", path);
        assert!(files.path(other).is_none() && !files.take_opened_late(), "another file is at its path");
        let own = files.of_mapping(nobody, "1-2", &identity, path);
        assert!(files.path(own).is_some() && !files.take_opened_late());
        files.files[own.0 as usize].file = None;
        assert_eq!(files.of_mapping(nobody, "1-2", &identity, path), own);
        assert!(files.path(own).is_some() && files.take_opened_late() && !files.take_opened_late());
    }
}
