//! From cargo's ELF files to the objects that tracer-cli embeds: without DWARF, which only
//! bpf-linker reads, and which is nine tenths of their size.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::build::elf::{Builder, SectionData};
use object::elf;

/// Write `objects/NAME.o` for every `sources/NAME.rs`, and remove what has no source.
pub fn install(built: &Path, sources: &Path, objects: &Path) -> Result<()> {
    let names = tool_names(sources)?;
    fs::create_dir_all(objects)?;
    for name in &names {
        let data = fs::read(built.join(name)).with_context(|| format!("cargo built no {name}"))?;
        let stripped = strip(&data).with_context(|| format!("{name} is no object"))?;
        write_if_changed(&objects.join(format!("{name}.o")), &stripped)?;
    }
    for entry in fs::read_dir(objects)? {
        let file = entry?.path();
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        if !stem.is_some_and(|stem| names.contains(&stem)) {
            fs::remove_file(&file)?;
        }
    }
    Ok(())
}

/// The names of the Rust files of a folder.
fn tool_names(sources: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(sources).with_context(|| format!("cannot read {}", sources.display()))?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let file = entry?.file_name().into_string().unwrap_or_default();
        names.extend(file.strip_suffix(".rs").map(str::to_owned));
    }
    Ok(names)
}

fn strip(data: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(data)?;
    for section in &mut builder.sections {
        let name = section.name.to_string();
        section.delete = [".debug_", ".rel.debug_"].iter().any(|dwarf| name.starts_with(dwarf));
    }
    builder.delete_orphans();
    // LLVM keeps sections' and symbols' names in one table, the builder in two.
    let names = builder.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

/// Leave the file's time alone when its content is the same: nothing need be built anew.
fn write_if_changed(file: &Path, content: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == content) {
        return Ok(());
    }
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}
