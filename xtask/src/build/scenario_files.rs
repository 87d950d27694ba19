//! What scenarios need that cargo does not make: a program with another C library, and empty file systems.

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

const MUSL_SOURCE: &str = "tests/programs/lookups.c";
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
    let step = Step::new(workspace, FOLDER).inputs(&[MUSL_SOURCE]).output(folder.clone());
    let Some(due) = step.due() else { return Ok(()) };
    fs::create_dir_all(&folder)?;
    let mut musl = Command::new("musl-gcc");
    musl.args(["-O2", "-Wall", "-Werror", "-o"]).arg(folder.join("lookups-musl"));
    process::run(musl.arg(workspace.root.join(MUSL_SOURCE)))?;
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
