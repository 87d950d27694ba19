//! A process's memory: what is mapped where.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    Place,
    files::{FileId, Files},
    perf_map::PerfMap,
};

/// What is known of a process.
#[derive(Default)]
pub struct Process {
    areas: Vec<Area>,
    /// Which program it runs.
    program: Option<(u64, u64)>,
    /// What it sees as its root, and its number there: kept when it has gone.
    root: Option<(File, u32)>,
    /// From when on its mappings may be read again for the sake of a caller's address.
    again: Option<Instant>,
}

/// Reading mappings in vain takes no more than one part in so many of the time. Where functions keep no frame
/// pointer, most stacks have numbers among their callers that are no addresses of code.
const SHARE: u32 = 10;

/// A mapping that code is run in.
struct Area {
    start: u64,
    end: u64,
    offset: u64,
    /// Its line in `/proc/PID/maps` has these, if a file is mapped.
    range: String,
    identity: String,
    path: String,
    file: Option<FileId>,
}

impl Process {
    /// Looks at the process again if it has mapped something since, or runs another program.
    pub fn refresh(&mut self, pid: u32, frames: &[u64]) {
        let process = Path::new("/proc").join(pid.to_string());
        let program = fs::metadata(process.join("exe")).ok().map(|file| (file.dev(), file.ino()));
        if self.knows(frames) && (program.is_none() || program == self.program) {
            return;
        }
        let start = Instant::now();
        // As bytes: a path may be no UTF-8.
        let Ok(maps) = fs::read(process.join("maps")) else { return };
        if maps.is_empty() {
            return;
        }
        self.areas = String::from_utf8_lossy(&maps).lines().filter_map(Area::parse).collect();
        self.program = program;
        self.again = Some(start + SHARE * start.elapsed());
        if self.root.is_none() {
            let root = fs::OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
                .open(process.join("root"));
            self.root = root.ok().map(|root| (root, number_inside(&process).unwrap_or(pid)));
        }
    }

    /// Whether the innermost of these is in its code as far as that is known.
    pub fn has(&self, frames: &[u64]) -> bool {
        frames.first().is_some_and(|innermost| self.area(*innermost).is_some())
    }

    /// Whether it is known where these are, or not to be found out now. The innermost is in code for certain.
    fn knows(&self, frames: &[u64]) -> bool {
        let Some((innermost, callers)) = frames.split_first() else { return false };
        let is_known = |address: &u64| self.area(*address).is_some();
        is_known(innermost)
            && (callers.iter().all(is_known) || self.again.is_some_and(|again| Instant::now() < again))
    }

    /// An address in each of its mappings.
    pub fn code(&self) -> Vec<u64> {
        self.areas.iter().map(|area| area.start).collect()
    }

    fn area(&self, address: u64) -> Option<&Area> {
        let index = self.areas.partition_point(|area| area.end <= address);
        self.areas.get(index).filter(|area| area.start <= address)
    }

    /// Where an address is; none if there is no code.
    pub fn place(&mut self, pid: u32, address: u64, files: &mut Files) -> Option<Place> {
        if self.areas.is_empty() {
            return Some(Place::Unknown);
        }
        let index = self.areas.partition_point(|area| area.end <= address);
        let area = self.areas.get_mut(index).filter(|area| area.start <= address)?;
        if area.path.is_empty() {
            return Some(Place::Memory { pid, address });
        }
        let Area { range, identity, path, .. } = &*area;
        let file = area.file.unwrap_or_else(|| files.of_mapping(pid, range, identity, path));
        area.file = Some(file);
        if !files.is_program(file) {
            return Some(Place::Memory { pid, address });
        }
        Some(Place::File { file, offset: address - area.start + area.offset })
    }

    /// What the process tells of code that it has compiled.
    pub fn perf_map(&self, pid: u32) -> PerfMap {
        use std::os::fd::AsRawFd as _;
        let Some((root, number)) = &self.root else { return PerfMap::default() };
        let root = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
        let numbers = [*number, pid];
        let read = |number: &u32| PerfMap::read(&root.join(format!("tmp/perf-{number}.map")));
        numbers.iter().find_map(read).unwrap_or_default()
    }
}

impl Area {
    /// From a line of `/proc/PID/maps`: `range perms offset device inode   path`; none if it holds no code.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (range, permissions, offset) = (fields.next()?, fields.next()?, fields.next()?);
        let (device, inode) = (fields.next()?, fields.next()?);
        let path = fields.next().unwrap_or_default().trim_start();
        if permissions.as_bytes().get(2) != Some(&b'x') {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (number(start)?, number(end)?);
        // Memory of special use has a name too, in brackets.
        let is_file = path.starts_with('/') || path == "[vdso]";
        Some(Self {
            start,
            end,
            offset: if path == "[vdso]" { 0 } else { number(offset)? },
            // As map_files has it: without the zeros that low addresses have in front here.
            range: format!("{start:x}-{end:x}"),
            identity: format!("{device} {inode} {}", if inode == "0" { path } else { "" }),
            path: if is_file { path.to_owned() } else { String::new() },
            file: None,
        })
    }
}

/// A process's number in its own namespace of processes.
fn number_inside(process: &Path) -> Option<u32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_in_lines_of_maps() {
        let line =
            "7f0a1000-7f0b2000 r-xp 00026000 fe:00 1234                       /usr/lib/a b.so (deleted)";
        let area = Area::parse(line).unwrap();
        assert_eq!((area.start, area.end, area.offset), (0x7f0a_1000, 0x7f0b_2000, 0x26000));
        assert_eq!(area.path, "/usr/lib/a b.so (deleted)");
        assert_eq!(area.identity, "fe:00 1234 ");
        let jit = Area::parse("7f0a1000-7f0b2000 rwxp 00000000 00:00 0 ").unwrap();
        assert_eq!(jit.path, "");
        assert!(Area::parse("7f0a1000-7f0b2000 rw-p 00000000 fe:00 1 /a").is_none());
        for line in ["", "x", "1-2", "1-2 r-xp", "q-2 r-xp 0 0:0 0"] {
            assert!(Area::parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn the_own_functions_are_located() {
        let (mut process, mut files) = (Process::default(), Files::default());
        let address = number_inside as *const () as u64;
        let pid = std::process::id();
        process.refresh(pid, &[address]);
        let Some(Place::File { file, .. }) = process.place(pid, address, &mut files) else {
            panic!("no file");
        };
        assert!(files.path(file).is_some() && files.name(file).starts_with("tracer"), "{}", files.name(file));
        assert_eq!(process.place(pid, 1, &mut files), None);
    }

    #[test]
    fn a_caller_that_is_no_code_makes_nobody_read_maps_all_the_time() {
        let mut process = Process::default();
        let (pid, address) = (std::process::id(), number_inside as *const () as u64);
        process.refresh(pid, &[address]);
        let later = Instant::now() + std::time::Duration::from_secs(3600);
        process.again = Some(later);
        process.refresh(pid, &[address, 1]);
        assert_eq!(process.again, Some(later));
        process.refresh(pid, &[1, address]);
        assert_ne!(process.again, Some(later));
    }
}
