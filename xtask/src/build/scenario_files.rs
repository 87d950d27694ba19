//! What scenarios need that cargo does not make: programs in other languages, and empty file systems.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::stamp::Step;
use crate::process;
use crate::report;
use crate::scratch::Scratch;
use crate::setup::packages;
use crate::workspace::Workspace;

/// Their folder's name, beside the scenario runner, which looks for it there.
pub const FOLDER: &str = "tracer-tests-files";
/// musl's, where programs that are linked to it want it.
pub const MUSL_LOADER: &str = "lib/ld-musl-x86_64.so.1";

const SOURCES: &[&str] = &["tests/programs/lookups.c", "tests/programs/shapes.c"];
const C_FLAGS: &[&str] = &[
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pthread",
    "-fno-omit-frame-pointer",
    "-fno-optimize-sibling-calls",
];
/// Programs with another C library than the tests' own: the name, which source, and how it is built.
const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("lookups-musl", SOURCES[0], &[]),
    ("shapes", SOURCES[1], &[]),
    ("shapes-static", SOURCES[1], &["-static"]),
    ("shapes-no-pointers", SOURCES[1], &["-fomit-frame-pointer"]),
    ("shapes-stripped", SOURCES[1], &["-s"]),
];
/// A program in Go, made where its compiler is, which is too large to be fetched for this.
const GO: (&str, &str) = ("shapes-go", "tests/programs/shapes.go");
const BLOCK: usize = 4096;

/// A file system by its name, how it is made, and its size.
const FILE_SYSTEMS: &[(&str, &[&str], u64)] = &[
    ("ext4", &["mkfs.ext4", "-q", "-F"], 16 << 20),
    // Not larger than it must be; older kernels know no counters of 64 bits.
    ("xfs", &["mkfs.xfs", "-q", "-f", "-i", "nrext64=0"], 320 << 20),
    ("btrfs", &["mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single"], 128 << 20),
];

/// Makes them where they are not as they should be. Where that can't be, the scenarios say what they lack.
pub fn require(workspace: &Workspace) -> Result<()> {
    if let Err(error) = packages::require(packages::SCENARIOS) {
        report::progress(format!("some scenarios will be skipped: {error:#}"));
        return Ok(());
    }
    let folder = folder(workspace);
    let go = process::find_program("go");
    let step = Step::new(workspace, FOLDER)
        .text(format!("with Go: {}", go.is_some()))
        .inputs(SOURCES)
        .inputs(&[GO.1])
        .output(folder.clone());
    let Some(due) = step.due()? else { return Ok(()) };
    fs::create_dir_all(&folder)?;
    for (name, source, flags) in PROGRAMS {
        let mut musl = Command::new("musl-gcc");
        musl.args(C_FLAGS).args(*flags).arg("-o").arg(folder.join(name));
        process::run(musl.arg(workspace.root.join(source)))?;
    }
    if let Some(go) = go {
        let mut go = Command::new(go);
        // Without debug information, and without a module.
        go.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(folder.join(GO.0));
        process::run(go.envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0")]).arg(workspace.root.join(GO.1)))?;
    }
    for (name, maker, size) in FILE_SYSTEMS {
        make_file_system(maker, *size, &folder.join(name)).with_context(|| format!("making an {name}"))?;
    }
    due.done()
}

pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.release_binary(FOLDER)
}

/// Makes a file system, and keeps of it what is not zero: its size, then each block's place and content.
fn make_file_system(maker: &[&str], size: u64, target: &Path) -> Result<()> {
    let scratch = Scratch::new(target.with_extension("partial"))?;
    let image = scratch.join("image");
    File::create(&image)?.set_len(size)?;
    let (program, flags) = maker.split_first().context("no program")?;
    let program = process::find_program(program).context("its maker is not installed")?;
    process::run_quietly(Command::new(program).args(flags).arg(&image))?;
    let mut image = File::open(&image)?;
    let mut blocks = size.to_le_bytes().to_vec();
    let mut block = [0; BLOCK];
    for place in (0..size).step_by(BLOCK) {
        image.read_exact(&mut block)?;
        if block.iter().any(|&byte| byte != 0) {
            blocks.extend(place.to_le_bytes());
            blocks.extend(block);
        }
    }
    Ok(File::create(target)?.write_all(&blocks)?)
}
