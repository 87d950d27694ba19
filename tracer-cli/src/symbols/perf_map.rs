//! Names of code that was compiled at run time, from the file that its process writes for perf(1):
//! `START SIZE NAME` a line, in hexadecimal.

use std::{
    fs::OpenOptions,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Such files are appended to for as long as a process lives; more than this is not read.
const MOST_BYTES: u64 = 256 << 20;

/// A process's compiled functions.
#[derive(Default)]
pub struct PerfMap {
    /// By their start.
    functions: Vec<(u64, u64, String)>,
}

impl PerfMap {
    /// Reads a file, which may be anybody's and anything.
    pub fn read(path: &Path) -> Option<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(path).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let lines = BufReader::new(file.take(MOST_BYTES)).split(b'\n');
        Some(Self::of(lines.map_while(Result::ok).filter_map(|line| parse(&line))))
    }

    fn of(functions: impl Iterator<Item = (u64, u64, String)>) -> Self {
        let mut functions: Vec<_> = functions.collect();
        functions.sort_by_key(|(start, ..)| *start);
        Self { functions }
    }

    /// The function that is at an address. Where memory was used again, the last one that was written.
    pub fn name(&self, address: u64) -> Option<&str> {
        let after = self.functions.partition_point(|(start, ..)| *start <= address);
        let (start, size, name) = self.functions.get(after.checked_sub(1)?)?;
        (address - start < *size).then_some(name)
    }
}

fn parse(line: &[u8]) -> Option<(u64, u64, String)> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.splitn(3, ' ');
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let (start, size) = (number(fields.next()?)?, number(fields.next()?)?);
    let name = fields.next()?.trim();
    (!name.is_empty()).then(|| (start, size, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> PerfMap {
        PerfMap::of(text.lines().filter_map(|line| parse(line.as_bytes())))
    }

    #[test]
    fn functions_have_a_start_and_an_end() {
        let map = of("1000 10 py::f:/a b.py\n0x2000 0x20 LazyCompile:*g x.js:1\n1000 8 newer\n");
        assert_eq!(map.name(0x1004), Some("newer"));
        assert_eq!(map.name(0x201f), Some("LazyCompile:*g x.js:1"));
        for address in [0, 0xfff, 0x2020, u64::MAX] {
            assert_eq!(map.name(address), None, "{address:#x}");
        }
    }

    #[test]
    fn other_lines_are_none() {
        assert_eq!(of("\nx y z\n1000\n1000 10\n1000 10 \n-1 2 n").name(0x1000), None);
    }

    #[test]
    fn only_files_are_read() {
        assert!(PerfMap::read(Path::new("/dev/zero")).is_none());
        assert!(PerfMap::read(Path::new("/nonexistent")).is_none());
    }
}
