//! `cargo xtask build`: kernel programs to objects, objects into the static binary. A step
//! whose inputs and outputs are as it left them costs a look at their times.

mod objects;
pub mod scenario_files;
mod stamp;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::setup::{self, packages};
use crate::workspace::{self, BPF_TARGET, HOST_TARGET, Workspace};
pub use stamp::Step;

/// What every step's result depends on besides its own crates.
const SHARED_INPUTS: &[&str] =
    &["Cargo.toml", "Cargo.lock", ".cargo", "rust-toolchain.toml", "tracer-common"];

#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Compile the kernel programs' log statements in; `tracer -vv` shows them
    #[arg(long)]
    pub debug_log: bool,
    /// Let the kernel programs do all their work twice, for the bench to see that it sees it
    #[arg(skip)]
    pub twice: bool,
}

impl Options {
    /// What they make of cargo's command line for the user's side.
    fn features(&self) -> &'static [&'static str] {
        if self.debug_log { &["--features", "debug-log"] } else { &[] }
    }

    /// The same for the kernel's side.
    fn kernel_features(&self) -> &'static [&'static str] {
        if self.twice { &["--features", "twice"] } else { self.features() }
    }
}

/// Build everything that the tool consists of; returns the binary's path.
pub fn tracer(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    kernel_objects(workspace, options)?;
    let inputs = &["tracer-cli", "target/bpf", "docs/tools", "README.md"];
    static_binary(workspace, "tracer-cli", "tracer", inputs, options.features())
}

/// Build the scenario runner and what it needs; returns its path.
pub fn test_runner(workspace: &Workspace) -> Result<PathBuf> {
    scenario_files::require(workspace)?;
    static_binary(workspace, "tracer-tests", "tracer-tests", &["tests", "README.md"], &[])
}

/// Build what measures; returns its path.
pub fn bench(workspace: &Workspace) -> Result<PathBuf> {
    static_binary(workspace, "tracer-bench", "tracer-bench", &["bench"], &[])
}

/// Build the floors that the bench measures against; returns their object's path.
pub fn floors(workspace: &Workspace) -> Result<PathBuf> {
    let linker = setup::build_tools(workspace)?;
    let mut cargo = ebpf_cargo(workspace, "build", &linker, &Options::default())?;
    process::run(cargo.args(["--features", "floors", "--bin", "floors"]))?;
    Ok(workspace.target().join(BPF_TARGET).join("release/floors"))
}

/// Build the kernel programs and leave their objects where tracer-cli finds them.
pub fn kernel_objects(workspace: &Workspace, options: &Options) -> Result<()> {
    let linker = setup::build_tools(workspace)?;
    let step = Step::new(workspace, "bpf")
        .text(format!("{options:?}"))
        .inputs(SHARED_INPUTS)
        .inputs(&["tracer-ebpf"])
        .input(linker.clone())
        .output(workspace.objects());
    let Some(due) = step.due()? else { return Ok(()) };
    process::run(&mut ebpf_cargo(workspace, "build", &linker, options)?)?;
    let built = workspace.target().join(BPF_TARGET).join("release");
    objects::install(&built, &workspace.root.join("tracer-ebpf/src/bin"), &workspace.objects())?;
    due.done()
}

/// A cargo command on tracer-ebpf, for the BPF target and with core built for it.
pub fn ebpf_cargo(
    workspace: &Workspace,
    subcommand: &str,
    linker: &Path,
    options: &Options,
) -> Result<Command> {
    let mut cargo = workspace.cargo(subcommand);
    cargo.args(["--package", "tracer-ebpf", "--release", "--bins", "--target", BPF_TARGET]);
    cargo.arg("-Zbuild-std=core");
    cargo.args(options.kernel_features());
    // -Zbuild-std is not stable; this makes the stable tool chain accept it.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    let mut flags = vec![
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", linker.display()),
    ];
    flags.extend(path_flags(workspace)?);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", encode(&flags));
    Ok(cargo)
}

fn static_binary(
    workspace: &Workspace,
    package: &str,
    name: &str,
    inputs: &[&str],
    features: &[&str],
) -> Result<PathBuf> {
    packages::require(packages::BUILD)?;
    let binary = workspace.release_binary(name);
    let step = Step::new(workspace, name)
        .text(features.join(" "))
        .inputs(SHARED_INPUTS)
        .inputs(inputs)
        .output(binary.clone());
    let Some(due) = step.due()? else {
        return Ok(binary);
    };
    let mut cargo = workspace.cargo("build");
    cargo.args(["--package", package, "--release", "--target", HOST_TARGET]).args(features);
    // Profilers, ours among them, walk stacks by frame pointers.
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned(), "-Cforce-frame-pointers=yes".to_owned()];
    flags.extend(path_flags(workspace)?);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", encode(&flags));
    process::run(&mut cargo)?;
    due.done()?;
    Ok(binary)
}

/// Keep this machine's paths out of objects and binaries. The last prefix that fits counts.
fn path_flags(workspace: &Workspace) -> Result<Vec<String>> {
    let cargo_home = workspace::cargo_home()?;
    let mut names = vec![
        (workspace.root.clone(), "tracer"),
        (cargo_home.clone(), "cargo"),
        (workspace::sysroot()?, "rust"),
    ];
    // Each registry's sources lie in a folder that is named after its host.
    let registries = std::fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten();
    names.extend(registries.filter_map(|entry| Some((entry.ok()?.path(), "crates"))));
    let flag = |(path, name): (PathBuf, &str)| format!("--remap-path-prefix={}={name}", path.display());
    Ok(names.into_iter().map(flag).collect())
}

/// Flags as cargo's variable has them, whatever characters they hold.
fn encode(flags: &[String]) -> String {
    flags.join("\x1f")
}
