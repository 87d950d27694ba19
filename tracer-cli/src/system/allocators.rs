//! Functions that allocate memory: the C library's, and those of allocators in its place.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::{c_library, elf};
use crate::bpf::hook::UserFunction;

/// Functions by the one of the C library that has the same arguments. Some allocators have names of their own for
/// the same, and a C++ library's operators need not call any of C's.
const FUNCTIONS: [(&str, &[&str]); 10] = [
    (
        "malloc",
        &[
            "malloc",
            "valloc",
            "pvalloc",
            "mallocx",
            "je_malloc",
            "_rjem_malloc",
            "tc_malloc",
            "mi_malloc",
            "_Znwm",
            "_Znam",
            "_ZnwmRKSt9nothrow_t",
            "_ZnamRKSt9nothrow_t",
            "_ZnwmSt11align_val_t",
            "_ZnamSt11align_val_t",
        ],
    ),
    ("calloc", &["calloc", "je_calloc", "_rjem_calloc", "tc_calloc", "mi_calloc"]),
    ("realloc", &["realloc", "rallocx", "je_realloc", "_rjem_realloc", "tc_realloc", "mi_realloc"]),
    ("reallocarray", &["reallocarray"]),
    ("memalign", &["memalign", "aligned_alloc", "je_aligned_alloc", "_rjem_aligned_alloc", "tc_memalign"]),
    ("posix_memalign", &["posix_memalign", "je_posix_memalign", "_rjem_posix_memalign"]),
    ("mmap", &["mmap", "mmap64"]),
    ("mremap", &["mremap"]),
    (
        "free",
        &[
            "free",
            "cfree",
            "dallocx",
            "sdallocx",
            "je_free",
            "je_sdallocx",
            "_rjem_free",
            "_rjem_sdallocx",
            "tc_free",
            "mi_free",
            "_ZdlPv",
            "_ZdaPv",
            "_ZdlPvm",
            "_ZdaPvm",
            "_ZdlPvSt11align_val_t",
            "_ZdaPvSt11align_val_t",
            "_ZdlPvmSt11align_val_t",
            "_ZdaPvmSt11align_val_t",
        ],
    ),
    ("munmap", &["munmap"]),
];

/// The functions of a file, each under the name that a hook has for it; none if it is no allocator, which gives
/// memory and takes it back.
#[must_use]
pub fn of_file(file: &Path) -> Vec<UserFunction> {
    let names: Vec<&str> = FUNCTIONS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let mut functions: Vec<UserFunction> = Vec::new();
    for (name, offset) in elf::functions(file, &names) {
        let Some((hook, _)) = FUNCTIONS.iter().find(|(_, names)| names.contains(&name)) else { continue };
        // A function may have several names.
        if !functions.iter().any(|known| known.name == *hook && known.offset == offset) {
            functions.push(UserFunction { name: hook, file: file.to_owned(), offset });
        }
    }
    let has = |name| functions.iter().any(|function: &UserFunction| function.name == name);
    if has("malloc") && has("free") { functions } else { Vec::new() }
}

/// The files that processes have mapped and may have allocators in.
#[must_use]
pub fn files_of_processes(pids: &[u32]) -> Vec<PathBuf> {
    c_library::mapped_by(pids, |_| true)
}

/// The files that a program will have: itself, the C library, and what else it names that stands where
/// libraries are.
#[must_use]
pub fn files_of_program(program: &Path) -> Vec<PathBuf> {
    let mut files = c_library::of_program(Some(program));
    let program = c_library::find_program(program);
    let mut needed: Vec<String> = program.as_deref().map(elf::needed).unwrap_or_default();
    let preloaded = std::env::var("LD_PRELOAD").unwrap_or_default();
    needed.extend(preloaded.split([' ', ':']).filter(|name| !name.is_empty()).map(str::to_owned));
    files.extend(program);
    for name in needed {
        let candidates = c_library::FOLDERS.iter().map(|folder| Path::new(folder).join(&name));
        files.extend(candidates.filter(|path| path.is_file()).take(1));
    }
    let mut seen = HashSet::new();
    files.retain(|file| fs::canonicalize(file).is_ok_and(|file| seen.insert(file)));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_is_an_allocator() {
        for file in c_library::of_program(None) {
            let functions = of_file(&file);
            for (name, _) in FUNCTIONS {
                assert!(functions.iter().any(|function| function.name == name), "{name} of {file:?}");
            }
        }
    }

    #[test]
    fn what_is_no_program_is_no_allocator() {
        assert!(of_file(Path::new("/etc/passwd")).is_empty());
        assert!(of_file(Path::new("/nowhere")).is_empty());
    }
}
