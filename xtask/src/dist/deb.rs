//! The Debian package. It depends on nothing, since the binary is static, and runs no scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{VERSION, write_file};
use crate::process;
use crate::scratch::Scratch;

/// Debian's name of the architecture that is built for.
pub const fn architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

/// Nobody in particular, at a domain that never is one.
const MAINTAINER: &str = "The tracer developers <developers@tracer.invalid>";

/// Pack a stage, which holds `usr`.
pub fn pack(stage: &Path, time: &str, deb: &Path) -> Result<()> {
    write_changelog(&stage.join("usr/share/doc/tracer/changelog"), time)?;
    let mut installed = Installed::default();
    installed.add(stage, Path::new("usr"))?;
    write_file(&stage.join("DEBIAN/control"), control(installed.kilobytes), 0o644)?;
    write_file(&stage.join("DEBIAN/md5sums"), installed.md5sums(stage)?, 0o644)?;
    let mut pack = Command::new("dpkg-deb");
    pack.env("SOURCE_DATE_EPOCH", time).args(["--root-owner-group", "--build"]);
    process::run_quietly(pack.arg(stage).arg(deb))
}

/// What the package brings, as Debian counts it: each file in whole kilobytes, and one for all else.
#[derive(Default)]
struct Installed {
    kilobytes: u64,
    /// Paths below the stage.
    files: Vec<PathBuf>,
}

impl Installed {
    /// Adds a folder and all below it, or a file.
    fn add(&mut self, stage: &Path, path: &Path) -> Result<()> {
        let about = fs::symlink_metadata(stage.join(path))?;
        self.kilobytes += if about.is_file() { about.len().div_ceil(1024) } else { 1 };
        if about.is_dir() {
            for entry in fs::read_dir(stage.join(path))? {
                self.add(stage, &path.join(entry?.file_name()))?;
            }
        } else if about.is_file() {
            self.files.push(path.to_owned());
        }
        Ok(())
    }

    /// By which `dpkg --verify` finds files that were changed.
    fn md5sums(mut self, stage: &Path) -> Result<String> {
        self.files.sort();
        process::read(Command::new("md5sum").current_dir(stage).args(&self.files)).context("md5sum")
    }
}

/// Debian wants to know of each version, what is new and when it came; the history is the repository's.
fn write_changelog(file: &Path, time: &str) -> Result<()> {
    let date = process::read(Command::new("date").args(["-u", "-R", "-d", &format!("@{time}")]))?;
    let entry = format!(
        "tracer ({VERSION}) unstable; urgency=medium\n\n  * Built from the tracer repository, which has its history.\n\n \
         -- {MAINTAINER}  {}\n",
        date.trim()
    );
    write_file(file, entry, 0o644)?;
    process::run_quietly(Command::new("gzip").args(["-9", "-n", "-f"]).arg(file))
}

fn control(kilobytes: u64) -> String {
    let architecture = architecture();
    format!(
        "\
Package: tracer
Version: {VERSION}
Architecture: {architecture}
Maintainer: {MAINTAINER}
Installed-Size: {kilobytes}
Section: utils
Priority: optional
Description: eBPF tracing tools in one static binary
 tracer shows what a Linux system does: which programs start, which files are
 opened, who connects where, how long disks and run queues take. It is a set of
 tools in the tradition of BCC, libbpf-tools and bpftrace, and needs no clang,
 Python or kernel headers. Rows come as a table, JSON lines, CSV or TSV.
 .
 /usr/lib/tracer/bcc holds a link for each tool by the name that BCC gives it,
 for those who want them in their PATH.
"
    )
}

/// Where dpkg keeps what is installed under a root.
pub fn status_file(root: &Path) -> PathBuf {
    root.join("var/lib/dpkg/status")
}

/// Install into a root that has nothing yet; works for any user.
pub fn install(deb: &Path, root: &Path) -> Result<()> {
    // Emptied, not removed at the end.
    drop(Scratch::new(root.to_owned())?);
    for folder in ["info", "updates"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(folder))?;
    }
    fs::write(status_file(root), "")?;
    let mut dpkg = Command::new("dpkg");
    dpkg.arg("--root").arg(root).arg("--log=/dev/null");
    // Nothing of this machine's system is touched: neither root nor its programs are needed.
    dpkg.args(["--force-not-root", "--force-bad-path", "--install"]);
    process::run_quietly(dpkg.arg(deb))
}
