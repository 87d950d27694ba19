//! A tool is a set of files that bear its name, one in each of five folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const FOLDERS: &[&str] =
    &["tracer-common/src/tools", "tracer-ebpf/src/bin", "tracer-cli/src/tools", "tests/tools", "docs/tools"];
/// Files that are about all tools.
const NO_TOOLS: &[&str] = &["mod.rs", "README.md", "pid_namespace.rs"];

pub fn check(workspace: &Workspace) -> Result<()> {
    let folders = FOLDERS.iter().map(|folder| {
        let names = names(&workspace.root.join(folder))?;
        Ok((*folder, names))
    });
    let missing = missing(&folders.collect::<Result<Vec<_>>>()?);
    if missing.is_empty() {
        return Ok(());
    }
    bail!("a tool has a file in each folder; missing are {}", missing.join(", "))
}

/// What some folder has and another has not, as paths without extension.
fn missing(folders: &[(&str, BTreeSet<String>)]) -> Vec<String> {
    let all: BTreeSet<&String> = folders.iter().flat_map(|(_, names)| names).collect();
    let lacks = |(folder, names): &(&str, BTreeSet<String>)| {
        let path = |name: &&String| format!("{folder}/{name}");
        all.iter().filter(|name| !names.contains(**name)).map(path).collect::<Vec<_>>()
    };
    folders.iter().flat_map(lacks).collect()
}

/// Git keeps no empty folder, so one that is not there has no names.
fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if !NO_TOOLS.contains(&file.as_str()) {
            names.insert(file.split('.').next().unwrap_or_default().to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_is_held_against_all_others() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let folders = [("a", set(&["x", "y"])), ("b", set(&["y", "z"]))];
        assert_eq!(missing(&folders), ["a/z", "b/x"]);
        assert!(missing(&[("a", set(&["x"])), ("b", set(&["x"]))]).is_empty());
    }

    #[test]
    fn folders_and_files_give_names() -> Result<()> {
        let folder = tempfile::tempdir()?;
        for file in ["opensnoop.rs", "mod.rs", "README.md"] {
            fs::write(folder.path().join(file), "")?;
        }
        assert_eq!(names(folder.path())?.into_iter().collect::<Vec<_>>(), ["opensnoop"]);
        Ok(())
    }
}
