//! The licences of all that is linked into the binary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;
use crate::workspace::{HOST_TARGET, Workspace};

/// A crate's name and version.
type Crate = (String, String);

/// tracer's own licence, then each dependency's, each text once.
pub fn copyright(workspace: &Workspace) -> Result<String> {
    let mut text = "tracer is under the MIT licence or the Apache licence 2.0, as you choose.\n\n".to_owned();
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        text += &fs::read_to_string(workspace.root.join(file))?;
        text.push('\n');
    }
    text += "The binary also holds Rust's standard library (MIT or Apache 2.0), parts of the GNU C\n\
        library (LGPL 2.1 or later, which Debian has in /usr/share/common-licenses/LGPL-2.1; relink it\n\
        with `cargo xtask build`), and these crates:\n\n";
    let linked = linked(workspace)?;
    for ((name, version), licence) in &linked {
        text += &format!("{name} {version}: {licence}\n");
    }
    for (licence, holders) in licence_texts(workspace, &linked)? {
        let holders: Vec<&str> = holders.iter().map(String::as_str).collect();
        text += &format!("\n== {}\n\n{}\n", holders.join(", "), licence.trim());
    }
    Ok(text)
}

/// The crates that are linked, with what they say of their licences.
fn linked(workspace: &Workspace) -> Result<BTreeMap<Crate, String>> {
    let mut cargo = cargo(workspace, "tree");
    cargo.args(["--package", "tracer-cli", "--edges", "normal", "--prefix", "none", "--target", HOST_TARGET]);
    let list = process::read(cargo.args(["--format", "{p}|{l}"]))?;
    let parse = |line: &str| {
        let (package, licence) = line.split_once('|')?;
        let mut words = package.split(' ');
        let name = words.next()?.to_owned();
        let version = words.next()?.trim_start_matches('v').to_owned();
        let is_own = package.contains('/');
        (!is_own).then(|| ((name, version), licence.trim_end_matches(" (*)").to_owned()))
    };
    Ok(list.lines().filter_map(parse).collect())
}

/// The texts that the crates' folders hold, and whose they are.
fn licence_texts(
    workspace: &Workspace,
    linked: &BTreeMap<Crate, String>,
) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut cargo = cargo(workspace, "metadata");
    let metadata: Value = serde_json::from_str(&process::read(cargo.args(["--format-version", "1"]))?)?;
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().context("cargo metadata has no packages")? {
        let field = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        if !linked.contains_key(&(field("name"), field("version"))) {
            continue;
        }
        let manifest = field("manifest_path");
        let folder = Path::new(&manifest).parent().context("a manifest lies in a folder")?;
        for text in texts_in(folder)? {
            texts.entry(text).or_default().insert(field("name"));
        }
    }
    Ok(texts)
}

fn texts_in(folder: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let is_text =
            ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"].iter().any(|w| name.starts_with(w));
        if is_text && entry.file_type()?.is_file() {
            texts.push(String::from_utf8_lossy(&fs::read(entry.path())?).replace("\r\n", "\n"));
        }
    }
    Ok(texts)
}

/// A command that asks cargo about the workspace as it is locked.
fn cargo(workspace: &Workspace, subcommand: &str) -> std::process::Command {
    let mut command = std::process::Command::new(crate::workspace::cargo_program());
    command.current_dir(&workspace.root).args([subcommand, "--locked"]);
    command
}
