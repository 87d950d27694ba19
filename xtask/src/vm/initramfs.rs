//! All that a VM has: tracer as its package installs it, the scenarios, busybox and a few modules.

use std::fs::{self, DirEntry};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::kernel::Kernel;
use super::modules::{self, Module};
use crate::build::scenario_files;
use crate::process;
use crate::workspace::Workspace;

const INIT: &str = include_str!("init.sh");
const FOLDERS: &[&str] = &[
    "bin", "dev", "etc", "home", "later", "lib", "modules", "proc", "root", "run", "sys", "tmp", "usr", "var",
];
const FILES: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];
/// The folders where programs are looked for by their whole path, and tracer.
const LINKS: &[(&str, &str)] = &[
    ("sbin", "bin"),
    ("usr/bin", "../bin"),
    ("usr/sbin", "../bin"),
    ("bin/tracer", "/package/usr/bin/tracer"),
];
/// The root that the package is installed in; init.sh names it too.
const PACKAGE: &str = "package";

/// The archive for a kernel, with the release binaries of the workspace.
pub fn build(workspace: &Workspace, kernel: &Kernel, package: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    FOLDERS.iter().for_each(|folder| archive.directory(folder));
    FILES.iter().for_each(|(path, content)| archive.file(path, 0o644, content.as_bytes()));
    LINKS.iter().for_each(|(path, target)| archive.symlink(path, target));
    archive.file("init", 0o755, INIT.as_bytes());
    // The kernel opens it for init before anything is mounted.
    archive.character_device("dev/console", (5, 1));
    add_programs(workspace, &mut archive)?;
    add_scenario_files(workspace, &mut archive)?;
    add_tree(package, PACKAGE, &mut archive)?;
    add_modules(kernel, &mut archive)?;
    Ok(archive.finish())
}

fn add_programs(workspace: &Workspace, archive: &mut Archive) -> Result<()> {
    let busybox = process::find_program("busybox").context("busybox is not installed")?;
    let programs = [("bin/busybox", busybox), ("bin/tracer-tests", workspace.release_binary("tracer-tests"))];
    for (path, file) in programs {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        archive.file(path, 0o755, &content);
    }
    Ok(())
}

/// Beside the runner, as on the host; if there are any.
fn add_scenario_files(workspace: &Workspace, archive: &mut Archive) -> Result<()> {
    let folder = format!("bin/{}", scenario_files::FOLDER);
    archive.directory(&folder);
    for file in fs::read_dir(scenario_files::folder(workspace)).into_iter().flatten() {
        let file = file?;
        let name = file.file_name();
        archive.file(&format!("{folder}/{}", name.to_string_lossy()), 0o755, &fs::read(file.path())?);
    }
    if let Ok(loader) = fs::read(Path::new("/").join(scenario_files::MUSL_LOADER)) {
        archive.file(scenario_files::MUSL_LOADER, 0o755, &loader);
    }
    Ok(())
}

/// A folder with all that is in it.
fn add_tree(folder: &Path, path: &str, archive: &mut Archive) -> Result<()> {
    archive.directory(path);
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(DirEntry::file_name);
    for entry in entries {
        let (file, kind) = (entry.path(), entry.file_type()?);
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        if kind.is_dir() {
            add_tree(&file, &path, archive)?;
        } else if kind.is_symlink() {
            archive.symlink(&path, &fs::read_link(&file)?.to_string_lossy());
        } else {
            let permissions = entry.metadata()?.permissions().mode() & 0o7777;
            archive.file(&path, permissions, &fs::read(&file)?);
        }
    }
    Ok(())
}

/// The modules, with lists of their files and parameters in the order of loading: one of those that are
/// loaded at once, and for each that scenarios load one of it and what it needs.
fn add_modules(kernel: &Kernel, archive: &mut Archive) -> Result<()> {
    add_modules_of(kernel.modules()?, "modules", "order", archive)?;
    for name in modules::LATER.names() {
        add_modules_of(kernel.later(name)?, "later", name, archive)?;
    }
    Ok(())
}

fn add_modules_of(modules: Vec<Module>, folder: &str, list: &str, archive: &mut Archive) -> Result<()> {
    if modules.is_empty() {
        return Ok(());
    }
    let mut order = String::new();
    for module in modules {
        let file = format!("{}.ko", module.name);
        archive.file(&format!("{folder}/{file}"), 0o644, &fs::read(&module.file)?);
        order += &format!("{file} {}\n", module.parameters);
    }
    archive.file(&format!("{folder}/{list}"), 0o644, order.as_bytes());
    Ok(())
}
