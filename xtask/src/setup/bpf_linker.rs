//! bpf-linker, which links kernel programs with the LLVM that rustc brings along.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::report;
use crate::workspace::{self, Workspace};

/// The last series that speaks rustc 1.95's LLVM 22; mixing LLVM versions breaks objects.
const VERSION: &str = "0.10.4";
const LLVM: &str = "rust-llvm-22";

/// Returns the linker's path; each version has its own folder.
pub fn require(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.cache.join(format!("tools/bpf-linker-{VERSION}"));
    let linker = folder.join("bin/bpf-linker");
    if linker.exists() {
        return Ok(linker);
    }
    report::progress(format!("installing bpf-linker {VERSION}: it links kernel programs"));
    let mut cargo = Command::new(workspace::cargo_program());
    cargo.args(["install", "bpf-linker", "--locked", "--no-default-features", "--quiet"]);
    cargo.args(["--version", &format!("={VERSION}"), "--features", LLVM]);
    cargo.arg("--root").arg(&folder);
    process::run_quietly(&mut cargo)?;
    if !process::succeeds(Command::new(&linker).arg("--version")) {
        bail!("{} was installed, but does not run", linker.display());
    }
    Ok(linker)
}
