//! C libraries: those that processes have mapped, wherever their mount namespaces have them, and those that
//! programs to come will load.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::elf;

/// Where systems have their C library, glibc's and musl's.
const PLACES: [&str; 6] = [
    "lib/x86_64-linux-gnu/libc.so.6",
    "usr/lib/x86_64-linux-gnu/libc.so.6",
    "lib64/libc.so.6",
    "usr/lib64/libc.so.6",
    "usr/lib/libc.so.6",
    "lib/ld-musl-x86_64.so.1",
];

/// Where systems have libraries.
pub const FOLDERS: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// How the names of C libraries begin.
const NAMES: [&str; 4] = ["libc.so", "libc-2.", "ld-musl-", "libc.musl-"];

/// A set of files, each under one path.
#[derive(Default)]
struct Files {
    paths: Vec<PathBuf>,
    seen: HashSet<(u64, u64)>,
}

impl Files {
    /// Whether a file is new here, and if so notes it.
    fn is_new(&mut self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|file| self.seen.insert((file.dev(), file.ino())))
    }

    fn add(&mut self, path: PathBuf) {
        if self.is_new(&path) {
            self.paths.push(path);
        }
    }
}

/// The C libraries of these processes, or of all if there are none; a static program is its own. The paths
/// lead there from here, whatever a process sees as its root.
#[must_use]
pub fn of_processes(pids: &[u32]) -> Vec<PathBuf> {
    let pids = if pids.is_empty() { all_pids() } else { pids.to_vec() };
    let mut files = Files::default();
    // Looked at, or known not to be wanted.
    let mut roots = Files::default();
    let mut programs = Files::default();
    let mut mappings = HashSet::new();
    for pid in pids {
        let process = Path::new("/proc").join(pid.to_string());
        let root = process.join("root");
        if roots.is_new(&root) {
            PLACES.iter().for_each(|place| files.add(root.join(place)));
        }
        let program = process.join("exe");
        if programs.is_new(&program) && elf::is_static_program(&program) {
            files.add(program);
        }
        add_mapped(&process, &mut files, &mut mappings, is_c_library);
    }
    files.paths
}

/// The files that these processes have mapped code of.
#[must_use]
pub fn mapped_by(pids: &[u32], is_wanted: fn(&[u8]) -> bool) -> Vec<PathBuf> {
    let (mut files, mut mappings) = (Files::default(), HashSet::new());
    for pid in pids {
        add_mapped(&Path::new("/proc").join(pid.to_string()), &mut files, &mut mappings, is_wanted);
    }
    files.paths
}

fn add_mapped(
    process: &Path,
    files: &mut Files,
    mappings: &mut HashSet<Vec<u8>>,
    is_wanted: fn(&[u8]) -> bool,
) {
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    for line in maps.split(|&byte| byte == b'\n') {
        if let Some((range, file)) = code(line, is_wanted)
            && mappings.insert(file.to_vec())
        {
            // There without the zeros that low addresses have in front here.
            let range: Vec<&str> = range.split('-').map(|address| address.trim_start_matches('0')).collect();
            files.add(process.join("map_files").join(range.join("-")));
        }
    }
}

/// The C libraries that programs started here will load, and a program itself if it is static.
#[must_use]
pub fn of_program(program: Option<&Path>) -> Vec<PathBuf> {
    let mut files = Files::default();
    PLACES.iter().for_each(|place| files.add(Path::new("/").join(place)));
    if let Some(program) = program.and_then(find_program)
        && elf::is_static_program(&program)
    {
        files.add(program);
    }
    files.paths
}

/// A program by its path, or by its name in `PATH`.
#[must_use]
pub fn find_program(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return Some(name.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn all_pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn is_c_library(name: &[u8]) -> bool {
    NAMES.iter().any(|start| name.starts_with(start.as_bytes()))
}

/// The address range of a mapping of code that is wanted by the file's name, and what tells the file: its device,
/// its number and its name. A line is `range perms offset device inode   path`.
fn code(line: &[u8], is_wanted: fn(&[u8]) -> bool) -> Option<(&str, &[u8])> {
    let mut fields = line.splitn(4, |&byte| byte == b' ');
    let (range, permissions, _offset, file) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let name = file.rsplit(|&byte| byte == b'/').next()?;
    let is_code = permissions.get(2) == Some(&b'x') && file.contains(&b'/') && is_wanted(name);
    is_code.then_some((std::str::from_utf8(range).ok()?, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_name() {
        let line = |path: &str, x| format!("7f0a1000-7f0b2000 r-{x}p 00026000 fe:00 1234    {path}");
        for (path, is_library) in [
            ("/usr/lib/x86_64-linux-gnu/libc.so.6", true),
            ("/lib/x86_64-linux-gnu/libc-2.31.so", true),
            ("/lib/ld-musl-x86_64.so.1", true),
            ("/a folder/libc.so.6 (deleted)", true),
            ("/usr/lib/libcrypto.so.3", false),
            ("[vdso]", false),
            ("", false),
        ] {
            assert_eq!(code(line(path, 'x').as_bytes(), is_c_library).is_some(), is_library, "{path}");
            assert_eq!(code(line(path, '-').as_bytes(), is_c_library), None, "{path}");
        }
        let text = line("/lib/ld-musl-x86_64.so.1", 'x');
        let (range, file) = code(text.as_bytes(), is_c_library).unwrap();
        assert_eq!(range, "7f0a1000-7f0b2000");
        assert_eq!(file, b"fe:00 1234    /lib/ld-musl-x86_64.so.1");
    }

    #[test]
    fn the_own_library_has_the_functions() {
        let own = of_processes(&[std::process::id()]);
        let found = own.iter().any(|file| {
            let names: Vec<_> =
                elf::functions(file, &["getaddrinfo"]).into_iter().map(|(name, _)| name).collect();
            names == ["getaddrinfo"]
        });
        assert!(found || own.is_empty(), "{own:?}");
    }
}
