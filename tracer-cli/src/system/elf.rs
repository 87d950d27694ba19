//! Functions in ELF files: programs and libraries of the traced system.

use std::{fs::File, path::Path};

use object::{Architecture, Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache, SymbolKind, elf};

/// Where a 64-bit ELF file has functions of these names, as offsets in the file; none of a file that
/// can't be read as such, which may be anything.
#[must_use]
pub fn functions<'a>(path: &Path, names: &[&'a str]) -> Vec<(&'a str, u64)> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let cache = ReadCache::new(file);
    let Ok(file) = object::File::parse(&cache) else { return Vec::new() };
    if file.architecture() != Architecture::X86_64 || !file.is_64() {
        return Vec::new();
    }
    let mut found: Vec<(&str, u64)> = Vec::new();
    for symbol in file.dynamic_symbols().chain(file.symbols()) {
        if symbol.kind() != SymbolKind::Text || !symbol.is_definition() {
            continue;
        }
        let Some(name) = symbol.name().ok().and_then(|name| names.iter().find(|wanted| **wanted == name))
        else {
            continue;
        };
        let address = symbol.address();
        let segment = file.segments().find(|segment| {
            address.checked_sub(segment.address()).is_some_and(|offset| offset < segment.file_range().1)
        });
        if let Some(segment) = segment {
            found.push((name, address - segment.address() + segment.file_range().0));
        }
    }
    // A table has a name for each version of it, and there are two tables.
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a file is a program that needs no library.
#[must_use]
pub fn is_static_program(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let cache = ReadCache::new(file);
    let Ok(object::File::Elf64(file)) = object::File::parse(&cache) else { return false };
    let endian = file.endian();
    use object::read::elf::ProgramHeader as _;
    file.elf_program_headers().iter().all(|header| header.p_type(endian) != elf::PT_INTERP)
}

/// The libraries that a program names.
#[must_use]
pub fn needed(path: &Path) -> Vec<String> {
    use object::read::elf::Dyn as _;
    let read = || -> Option<Vec<String>> {
        let cache = ReadCache::new(File::open(path).ok()?);
        let object::File::Elf64(file) = object::File::parse(&cache).ok()? else { return None };
        let (endian, data) = (file.endian(), file.data());
        let (entries, link) = file.elf_section_table().dynamic(endian, data).ok()??;
        let strings = file.elf_section_table().strings(endian, data, link).ok()?;
        let names = entries.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED);
        let names = names.filter_map(|entry| entry.string(endian, strings).ok());
        Some(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    };
    read().unwrap_or_default()
}

/// Whether a program was made by Go's own linker, or by way of it.
#[must_use]
pub fn is_go(path: &Path) -> bool {
    use object::ObjectSection as _;
    let Ok(file) = File::open(path) else { return false };
    let cache = ReadCache::new(file);
    let Ok(file) = object::File::parse(&cache) else { return false };
    file.sections().any(|section| matches!(section.name(), Ok(".gopclntab" | ".note.go.buildid")))
}
