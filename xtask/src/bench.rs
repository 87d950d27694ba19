//! `cargo xtask bench`: builds what is measured, and has `tracer-bench` measure it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::build;
use crate::process::{self, Root};
use crate::report;
use crate::setup::packages;
use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Make the folder with the peers: Debian sid's libbpf-tools, bpftrace, bcc, perf and strace
    #[arg(long)]
    setup: bool,
    /// Guard against regressions: few rounds, no peers, generous bounds
    #[arg(long)]
    quick: bool,
    /// See whether the bench sees a tool that does its work twice
    #[arg(long, conflicts_with = "quick")]
    self_check: bool,
    /// Put the tables into docs/performance.md
    #[arg(long, conflicts_with_all = ["quick", "self_check", "only"])]
    docs: bool,
    /// Only the tables whose title holds this text, such as "cost: open"
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How often each contender has its turn
    #[arg(long)]
    rounds: Option<usize>,
}

/// What is measured besides tracer, in Debian's newest releases.
const PEERS: &str = "libbpf-tools,bpftrace,bpfcc-tools,linux-perf,strace";
const SUITE: &str = "sid";

/// The lines of docs/performance.md between which the tables stand.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let root = workspace.cache.join("peers");
    if options.setup {
        set_up(workspace, &root)?;
        return Ok(ExitCode::SUCCESS);
    }
    packages::require(packages::BENCH)?;
    let folder = workspace.target().join("bench");
    fs::create_dir_all(&folder)?;
    let twice = options.self_check.then(|| tracer_twice(workspace, &folder)).transpose()?;
    let tracer = build::tracer(workspace, &build::Options::default())?;
    let (json, tables) = (folder.join("results.json"), folder.join("results.md"));
    let as_root = Root::find().context("measuring needs root")?;
    let mut bench = as_root.command(build::bench(workspace)?);
    bench.arg("run").arg("--tracer").arg(&tracer).arg("--floors").arg(build::floors(workspace)?);
    bench.arg("--json").arg(&json).arg("--markdown").arg(&tables);
    if let Some(twice) = twice {
        bench.arg("--twice").arg(twice);
    } else if options.quick {
        bench.arg("--quick");
    } else if is_whole(&root) {
        bench.arg("--root").arg(&root);
    } else {
        report::progress("no peers are here to be measured: `cargo xtask bench --setup` installs them");
    }
    bench.args(options.only.iter().flat_map(|only| ["--only", only]));
    bench.args(options.rounds.iter().flat_map(|rounds| ["--rounds".to_owned(), rounds.to_string()]));
    let status = bench.status().context("cannot start tracer-bench")?;
    if options.docs && status.success() {
        write_docs(&workspace.root.join("docs/performance.md"), &fs::read_to_string(&tables)?)?;
    }
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A tracer whose kernel programs do all their work twice.
fn tracer_twice(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let options = build::Options { twice: true, ..build::Options::default() };
    let copy = folder.join("tracer-twice");
    fs::copy(build::tracer(workspace, &options)?, &copy)?;
    Ok(copy)
}

/// debootstrap ends with this: a folder without it is half a system.
fn is_whole(root: &Path) -> bool {
    root.join("etc/tracer-bench").exists()
}

fn set_up(workspace: &Workspace, root: &Path) -> Result<()> {
    packages::require(packages::BENCH)?;
    if is_whole(root) {
        report::progress("the peers are there");
        return Ok(());
    }
    report::progress(format!("installing Debian {SUITE} with {PEERS} in a folder of its own"));
    let as_root = Root::find().context("debootstrap needs root")?;
    if root.exists() {
        process::run_quietly(as_root.command("rm").arg("-rf").arg("--one-file-system").arg(root))?;
    }
    let apt = Apt::open(&workspace.cache)?;
    let mut debootstrap = as_root.command("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={PEERS}")]);
    if let Some(keyring) = apt.keyring() {
        debootstrap.arg(format!("--keyring={keyring}"));
    }
    process::run_quietly(debootstrap.arg(SUITE).arg(root).arg(apt.mirror()))?;
    process::run_quietly(as_root.command("touch").arg(root.join("etc/tracer-bench")))?;
    report::progress("the peers are installed");
    Ok(())
}

fn write_docs(file: &Path, tables: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else { bail!("{} has no place for tables", file.display()) };
    Ok(fs::write(file, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))?)
}
