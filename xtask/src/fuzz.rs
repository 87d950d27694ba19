//! `cargo xtask fuzz`: the parsers of what others may have made, under libFuzzer for a bounded
//! time. `cargo fuzz run TARGET` works too, where that is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

use crate::build;
use crate::process;
use crate::report;
use crate::setup::packages;
use crate::workspace::{HOST_TARGET, Workspace};

const TARGETS: &[&str] = &["btf", "format", "filter", "recording"];
/// What instruments the code, as cargo-fuzz has it; no sanitizer, since the code is safe Rust.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    // libFuzzer is of an older fashion than the instrumented code.
    "-Ccodegen-units=1",
];
/// Of one input: seconds, bytes of its own, and megabytes of memory.
const LIMITS: &[&str] = &["-timeout=5", "-max_len=65536", "-rss_limit_mb=1024"];

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Fuzz each target for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    time: u64,
    /// Targets; all, if none is named
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
}

pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let all = || TARGETS.iter().map(|&target| target.to_owned()).collect();
    let targets: Vec<String> = if options.targets.is_empty() { all() } else { options.targets.clone() };
    let programs = build(workspace)?;
    let failed: Vec<&String> = targets
        .iter()
        .filter(|target| {
            let outcome = fuzz(workspace, &programs.join(target), target, options.time);
            outcome.inspect_err(report::error).is_err()
        })
        .collect();
    if !failed.is_empty() {
        bail!("fuzzing failed: {failed:?}");
    }
    report::result(&format!("fuzzed {} for {} s each: nothing found", targets.join(", "), options.time));
    Ok(())
}

/// Returns the folder of the instrumented programs. They are built apart, since all is instrumented.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    packages::require(packages::BUILD)?;
    packages::require(packages::FUZZ)?;
    build::kernel_objects(workspace, &build::Options::default())?;
    let folder = workspace.target().join("fuzz");
    let mut cargo = Command::new(crate::workspace::cargo_program());
    cargo.current_dir(&workspace.root).args(["build", "--release", "--package", "tracer-fuzz"]);
    cargo.args(["--features", "run", "--target", HOST_TARGET, "--target-dir"]).arg(&folder);
    // Whole-program optimization would undo the instruments.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    process::run(&mut cargo)?;
    Ok(folder.join(HOST_TARGET).join("release"))
}

/// The corpus grows from run to run; what fails is kept beside it.
fn fuzz(workspace: &Workspace, program: &Path, target: &str, seconds: u64) -> Result<()> {
    let folder = workspace.target().join("fuzz");
    let (corpus, found) = (folder.join("corpus").join(target), folder.join("found").join(target));
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder)?;
    }
    seed(workspace, target, &corpus)?;
    report::progress(format!("fuzzing {target} for {seconds} s"));
    let mut run = Command::new(program);
    run.arg(&corpus).arg(format!("-max_total_time={seconds}")).args(LIMITS);
    run.arg(format!("-artifact_prefix={}/", found.display()));
    process::run_quietly(&mut run)
        .with_context(|| format!("{target}: what it failed on is in {}", found.display()))
}

/// Give the fuzzer something to start from: the seeds in the repository, and real BTF.
fn seed(workspace: &Workspace, target: &str, corpus: &Path) -> Result<()> {
    let seeds = workspace.root.join("fuzz/seeds").join(target);
    for entry in fs::read_dir(seeds).into_iter().flatten() {
        let entry = entry?;
        fs::copy(entry.path(), corpus.join(entry.file_name()))?;
    }
    if target == "btf" {
        for entry in fs::read_dir(workspace.objects())? {
            let entry = entry?;
            let data = fs::read(entry.path())?;
            let section =
                object::File::parse(&*data)?.section_by_name(".BTF").map(|s| s.data().map(<[u8]>::to_vec));
            if let Some(section) = section.transpose()? {
                fs::write(corpus.join(entry.file_name()), section)?;
            }
        }
    }
    Ok(())
}
