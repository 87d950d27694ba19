//! `cargo xtask dist`: what users install, in `target/dist`: a tarball, a Debian package and
//! their checksums. The same commit makes the same bytes.

mod deb;
mod licences;
mod tree;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::{self, Step};
use crate::process;
use crate::report;
use crate::scratch::Scratch;
use crate::workspace::Workspace;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What the packages hold besides the binary and what it prints.
const INPUTS: &[&str] = &["README.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.lock"];

/// Make the packages and say where they are.
pub fn run(workspace: &Workspace) -> Result<()> {
    let made = make(workspace)?;
    for file in [&made.tarball, &made.deb, &made.sums] {
        report::result(&file.display().to_string());
    }
    Ok(())
}

/// The root of a Debian system that has nothing but the package, installed by dpkg.
pub fn installed_root(workspace: &Workspace) -> Result<PathBuf> {
    let made = make(workspace)?;
    let root = made.folder.join("root");
    let step = Step::new(workspace, "dist-root").input(made.deb.clone()).output(deb::status_file(&root));
    let Some(due) = step.due()? else { return Ok(root) };
    report::progress("installing the package into a root of its own: tests run it from there");
    deb::install(&made.deb, &root)?;
    due.done()?;
    Ok(root)
}

struct Made {
    folder: PathBuf,
    tarball: PathBuf,
    deb: PathBuf,
    sums: PathBuf,
}

fn make(workspace: &Workspace) -> Result<Made> {
    let tracer = build::tracer(workspace, &build::Options::default())?;
    let folder = workspace.target().join("dist");
    let architecture = std::env::consts::ARCH;
    let name = format!("tracer-{VERSION}-{architecture}");
    let made = Made {
        tarball: folder.join(format!("{name}.tar.gz")),
        deb: folder.join(format!("tracer_{VERSION}_{}.deb", deb::architecture())),
        sums: folder.join("SHA256SUMS"),
        folder,
    };
    let time = commit_time(workspace);
    let step = Step::new(workspace, "dist").text(time.clone()).inputs(INPUTS).input(tracer.clone());
    let step = step.output(made.tarball.clone()).output(made.deb.clone()).output(made.sums.clone());
    let Some(due) = step.due()? else { return Ok(made) };
    report::progress("packing the tarball and the Debian package");
    let stage = Scratch::new(made.folder.join("stage"))?;
    tree::write(workspace, &tracer, &stage.join("usr"))?;
    pack_tarball(&stage.join("usr"), &name, &time, &made.tarball)?;
    deb::pack(&stage, &time, &made.deb)?;
    write_sums(&made)?;
    due.done()?;
    Ok(made)
}

/// When the commit was made, for the files' times; without git, 1970.
fn commit_time(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    git.current_dir(&workspace.root).args(["log", "-1", "--format=%ct"]);
    process::read(&mut git).map_or_else(|_| "0".to_owned(), |time| time.trim().to_owned())
}

fn pack_tarball(usr: &Path, name: &str, time: &str, tarball: &Path) -> Result<()> {
    let tar = tarball.with_extension("");
    let mut pack = Command::new("tar");
    pack.arg("-C").arg(usr).args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--format=gnu",
    ]);
    // S: links lead where they led.
    pack.arg(format!("--mtime=@{time}")).arg(format!("--transform=s,^\\.,{name},S"));
    process::run_quietly(pack.arg("-cf").arg(&tar).arg("."))?;
    process::run_quietly(Command::new("gzip").args(["-9", "-n", "-f"]).arg(&tar))
}

fn write_sums(made: &Made) -> Result<()> {
    let mut sums = Command::new("sha256sum");
    sums.current_dir(&made.folder);
    for file in [&made.tarball, &made.deb] {
        sums.arg(file.file_name().context("a package has a name")?);
    }
    sums.stdout(File::create(&made.sums)?);
    process::run(&mut sums)
}

/// Write a file with just these permissions, whatever the umask.
fn write_file(file: &Path, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(mode))?)
}
