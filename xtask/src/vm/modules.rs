//! The kernel modules that tests need, with those they depend on, in an order to load them in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use object::Endianness;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};

use crate::process;

/// Modules and their parameters. What a kernel has built in, or has not at all, is left out.
#[derive(Debug)]
pub struct Wanted(&'static [(&'static str, &'static str)]);

/// Those that every VM loads when it boots.
pub const AT_BOOT: Wanted = Wanted(&[
    ("loop", ""),
    ("brd", "rd_nr=1"),
    ("null_blk", "nr_devices=1"),
    ("virtio_pci", ""),
    ("virtio_blk", ""),
    ("veth", ""),
    ("dummy", "numdummies=0"),
]);

/// Those that a scenario loads when it needs them.
pub const LATER: Wanted = Wanted(&[("ext4", ""), ("xfs", ""), ("btrfs", ""), ("fuse", "")]);

/// A file beside the kept modules that says which were wanted then.
const LIST: &str = "wanted";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    pub name: String,
    pub parameters: &'static str,
    pub file: PathBuf,
}

impl Wanted {
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }

    /// Copy the modules out of a kernel's tree of modules, decompressed.
    pub fn keep(&self, tree: &Path, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut packed = BTreeMap::new();
        find_modules(tree, &mut packed)?;
        let mut pending: Vec<String> = self.names().map(str::to_owned).collect();
        while let Some(name) = pending.pop() {
            let target = folder.join(format!("{name}.ko"));
            let Some(file) = packed.get(&name).filter(|_| !target.exists()) else {
                continue;
            };
            let content = decompress(file)?;
            pending.extend(dependencies(&content)?);
            fs::write(target, content)?;
        }
        fs::write(folder.join(LIST), self.list())?;
        Ok(())
    }

    /// Whether a folder holds what [`Wanted::keep`] would leave in it.
    pub fn are_kept(&self, folder: &Path) -> bool {
        fs::read_to_string(folder.join(LIST)).is_ok_and(|list| list == self.list())
    }

    fn list(&self) -> String {
        self.names().map(|name| format!("{name}\n")).collect()
    }

    /// The modules that [`Wanted::keep`] left in a folder, with those of these names after all they need.
    pub fn load_order(&self, folder: &Path, names: &[&str]) -> Result<Vec<Module>> {
        let mut kept = BTreeMap::new();
        find_modules(folder, &mut kept)?;
        let mut needs = BTreeMap::new();
        for (name, file) in &kept {
            needs.insert(name.clone(), dependencies(&fs::read(file)?)?);
        }
        let module = |name: String| {
            let parameters = self.0.iter().find(|(wanted, _)| *wanted == name).map_or("", |(_, p)| p);
            Some(Module { file: kept.get(&name)?.clone(), name, parameters })
        };
        Ok(in_order(&needs, names).into_iter().filter_map(module).collect())
    }
}

/// These names, each after the names that it needs.
fn in_order(needs: &BTreeMap<String, Vec<String>>, names: &[&str]) -> Vec<String> {
    fn visit(name: &str, needs: &BTreeMap<String, Vec<String>>, order: &mut Vec<String>) {
        if order.iter().any(|done| done == name) {
            return;
        }
        for need in needs.get(name).into_iter().flatten() {
            visit(need, needs, order);
        }
        order.push(name.to_owned());
    }
    let mut order = Vec::new();
    names.iter().for_each(|name| visit(name, needs, &mut order));
    order
}

fn find_modules(folder: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find_modules(&path, found)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            found.insert(canonical(name), path);
        }
    }
    Ok(())
}

/// Files may bear dashes where the modules' names have underscores.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

fn decompress(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return Ok(fs::read(file)?),
    };
    process::read_bytes(Command::new(program).arg("-dc").arg(file))
}

/// What a module says it depends on.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let elf = ElfFile64::<Endianness>::parse(module)?;
    let section = elf.section_by_name(".modinfo").context("a module without .modinfo")?;
    Ok(parse_dependencies(section.data()?))
}

/// `.modinfo` is a row of `key=value` strings, each ended by a NUL.
fn parse_dependencies(modinfo: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(modinfo);
    let depends = text.split('\0').find_map(|field| field.strip_prefix("depends="));
    let names = depends.unwrap_or_default().split(',').filter(|name| !name.is_empty());
    names.map(canonical).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_modinfo() {
        let modinfo = b"license=GPL\0depends=virtio_ring,virtio-pci\0name=virtio_blk\0";
        assert_eq!(parse_dependencies(modinfo), ["virtio_ring", "virtio_pci"]);
        assert!(parse_dependencies(b"depends=\0").is_empty());
        assert!(parse_dependencies(b"").is_empty());
    }

    #[test]
    fn a_module_comes_after_those_it_needs() {
        let needs = [("a", vec!["c"]), ("b", vec![]), ("c", vec!["d", "b"]), ("d", vec![])];
        let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let needs = needs.map(|(name, needed)| (name.to_owned(), own(needed)));
        let needs = BTreeMap::from(needs);
        assert_eq!(in_order(&needs, &["a", "b", "c", "d"]), ["d", "b", "c", "a"]);
        assert_eq!(in_order(&needs, &["c"]), ["d", "b", "c"]);
    }

    #[test]
    fn compressed_files_are_found_by_the_names_of_their_modules() -> Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("block"))?;
        fs::write(folder.path().join("block/virtio-blk.ko.xz"), "")?;
        fs::write(folder.path().join("modules.builtin"), "")?;
        let mut found = BTreeMap::new();
        find_modules(folder.path(), &mut found)?;
        assert_eq!(found.keys().collect::<Vec<_>>(), ["virtio_blk"]);
        Ok(())
    }
}
