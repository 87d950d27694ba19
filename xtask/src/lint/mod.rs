//! `cargo xtask lint`: what a reviewer need not look for.

mod names;
mod traces;

use std::process::Command;

use anyhow::{Result, bail};

use crate::build;
use crate::process;
use crate::report;
use crate::setup;
use crate::workspace::{self, HOST_TARGET, Workspace};

const DENY_WARNINGS: &[&str] = &["--", "-D", "warnings"];

type Check = fn(&Workspace) -> Result<()>;

/// The quick ones first.
const CHECKS: &[(&str, Check)] = &[
    ("format", format),
    ("tools have the same names everywhere", names::check),
    ("no trace of a machine in the files", traces::check),
    ("clippy on user space", clippy_host),
    ("clippy on the kernel programs", clippy_ebpf),
];

/// All checks are made, whatever fails.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        report::progress(format!("lint: {name}"));
        if let Err(error) = check(workspace) {
            report::error(&error);
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("lint failed: {}", failed.join(", "))
}

fn format(workspace: &Workspace) -> Result<()> {
    let mut cargo = Command::new(workspace::cargo_program());
    process::run(cargo.current_dir(&workspace.root).args(["fmt", "--all", "--check"]))
}

/// With and without what `--debug-log` compiles in, as below.
fn clippy_host(workspace: &Workspace) -> Result<()> {
    build::kernel_objects(workspace, &build::Options::default())?;
    for features in [&[][..], &["--features", "tracer-cli/debug-log"]] {
        let mut cargo = workspace.cargo("clippy");
        cargo.args(["--quiet", "--keep-going", "--workspace", "--exclude", "tracer-ebpf", "--all-targets"]);
        process::run(cargo.args(features).args(["--target", HOST_TARGET]).args(DENY_WARNINGS))?;
    }
    Ok(())
}

fn clippy_ebpf(workspace: &Workspace) -> Result<()> {
    let linker = setup::build_tools(workspace)?;
    for debug_log in [false, true] {
        let options = build::Options { debug_log, ..build::Options::default() };
        let mut cargo = build::ebpf_cargo(workspace, "clippy", &linker, &options)?;
        process::run(cargo.arg("--quiet").args(DENY_WARNINGS))?;
    }
    Ok(())
}
