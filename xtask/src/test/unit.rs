//! The unit tests of every crate that runs in user space.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::results::Tally;
use crate::process;
use crate::report;
use crate::vm::kernel;
use crate::workspace::{HOST_TARGET, Workspace};

const RUNNING_KERNELS_BTF: &str = "/sys/kernel/btf/vmlinux";

pub fn run(workspace: &Workspace, filter: Option<&str>) -> Result<Tally> {
    report::heading("unit tests");
    let btf = kernel::btf_folder(workspace);
    copy_own_btf(&btf)?;
    let mut cargo = workspace.cargo("test");
    cargo.args(["--workspace", "--exclude", "tracer-ebpf", "--no-fail-fast"]);
    // An explicit target keeps build scripts apart, as in the release build.
    cargo.args(["--target", HOST_TARGET]);
    cargo.args(filter);
    cargo.env("TRACER_BTF_DIR", btf);
    let mut tally = Tally::default();
    let succeeded = process::follow(&mut cargo, |line| {
        if is_telling(line) {
            report::result(line);
        }
        tally += Tally::parse_libtest(line).unwrap_or_default();
    })?;
    if !succeeded && tally.failed == 0 {
        report::result("unit tests ... FAILED: they do not build, or crashed");
        tally += Tally::FAILED;
    }
    Ok(tally)
}

/// Failures and sums; cargo names the binaries on stderr.
fn is_telling(line: &str) -> bool {
    let is_good = line.starts_with("test ") && line.ends_with("... ok");
    !(is_good || line.is_empty() || line.starts_with("running "))
}

/// The BTF reader is tested on the running kernel's too, where it has one.
fn copy_own_btf(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    if let Ok(blob) = fs::read(RUNNING_KERNELS_BTF) {
        fs::write(folder.join("host.btf"), blob)?;
    }
    Ok(())
}
