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
use crate::scratch::Scratch;
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

/// Fetched and unpacked beside its place, so that only a whole library ever stands there.
fn from_debian(workspace: &Workspace, sysroot: &Path) -> Result<()> {
    let release = workspace::rustc_version()?;
    let library = library(sysroot);
    let scratch = Scratch::new(library.with_extension("partial"))?;
    let deb = fetch(&Apt::open(&workspace.cache)?, &release, &scratch)?;
    apt::unpack(&deb, &scratch)?;
    let source = scratch.join(format!("usr/src/rustc-{release}/library"));
    fs::rename(source, &library).with_context(|| format!("cannot write {}", library.display()))
}

/// From the first suite that has the same release as rustc.
fn fetch(apt: &Apt, release: &str, folder: &Path) -> Result<PathBuf> {
    let is_it = |candidate: &apt::Candidate| {
        candidate.package == "rust-src" && version::release(&candidate.version) == release
    };
    let mut refusals = Vec::new();
    for suite in SUITES {
        match apt.fetch(&[suite], "rust-src", is_it, folder) {
            Ok((_, deb)) => return Ok(deb),
            Err(error) => refusals.push(format!("{suite}: {error:#}")),
        }
    }
    bail!("Debian has no rust-src {release}: {}", refusals.join("; "))
}
