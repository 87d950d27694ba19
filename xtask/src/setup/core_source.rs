//! The source of `core`, which `-Zbuild-std` compiles for the BPF target: a component of the
//! tool chain, or where rustup's server is out of reach, the same release's Debian package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::apt::{self, Apt, version};
use crate::process;
use crate::report;
use crate::workspace::{self, Workspace};

/// rustup without a network may hang.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);
/// Suites that may hold the release in use, the likeliest first.
const SUITES: &[&str] = &["trixie-backports", "trixie", "forky", "sid"];

pub fn require(workspace: &Workspace) -> Result<()> {
    let sysroot = workspace::sysroot()?;
    if is_there(&sysroot) {
        return Ok(());
    }
    report::progress("installing rust-src, core's source: kernel programs are compiled with it");
    let by_rustup = || {
        let mut rustup = Command::new("rustup");
        process::succeeds_within(rustup.args(["component", "add", "rust-src"]), RUSTUP_LIMIT)
    };
    if by_rustup() && is_there(&sysroot) {
        return Ok(());
    }
    report::progress("rustup could not fetch it: taking Debian's package of the same release");
    from_debian(workspace, &sysroot).context("cannot install rust-src")
}

fn is_there(sysroot: &Path) -> bool {
    library(sysroot).join("core/Cargo.toml").exists()
}

fn library(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

fn from_debian(workspace: &Workspace, sysroot: &Path) -> Result<()> {
    let release = workspace::rustc_version()?;
    let folder = workspace.cache.join("rust-src");
    let deb = fetch(&Apt::open(&workspace.cache)?, &release, &folder)?;
    apt::unpack(&deb, &folder)?;
    let source = folder.join(format!("usr/src/rustc-{release}/library"));
    copy(&source, &library(sysroot))?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn fetch(apt: &Apt, release: &str, folder: &Path) -> Result<PathBuf> {
    let is_it = |candidate: &apt::Candidate| {
        candidate.package == "rust-src" && version::release(&candidate.version) == release
    };
    for suite in SUITES {
        if let Ok((_, deb)) = apt.fetch(&[suite], "rust-src", is_it, folder) {
            return Ok(deb);
        }
    }
    bail!("no Debian suite of {} has rust-src {release}", SUITES.join(", "))
}

/// Copied beside its place and renamed, so that a broken copy is never taken for the whole.
fn copy(source: &Path, library: &Path) -> Result<()> {
    let parent = library.parent().context("the library has no parent folder")?;
    let partial = parent.join("library.partial");
    let cannot = || format!("cannot write {}", parent.display());
    fs::create_dir_all(parent).with_context(cannot)?;
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    process::run_quietly(Command::new("cp").arg("-r").arg(source).arg(&partial))?;
    fs::rename(&partial, library).with_context(cannot)
}
