//! `cargo xtask COMMAND`: everything around tracer's own code. Each command installs what it
//! needs and misses, saying what and why, so that a fresh machine wants no other step.

mod apt;
mod bench;
mod build;
mod dist;
mod fuzz;
mod lint;
mod new_tool;
mod process;
mod report;
mod run;
mod scratch;
mod setup;
mod test;
mod vm;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
enum Command {
    /// Install what building and testing need: core's source, bpf-linker, Debian packages
    Setup,
    /// Build the kernel objects and the static binary `tracer`
    Build(build::Options),
    /// Build, then run a tool, as root or through sudo: `cargo xtask run -- execsnoop -d 5`
    Run {
        #[command(flatten)]
        build: build::Options,
        /// The tool's name and its arguments
        #[arg(required = true, last = true)]
        args: Vec<OsString>,
    },
    /// Run unit tests, the scenarios on this kernel, and the scenarios in virtual machines
    Test(test::Options),
    /// Make what users install, in target/dist: a tarball, a Debian package and their checksums
    Dist,
    /// Fuzz the parsers for a bounded time: `cargo xtask fuzz --time 60 btf`
    Fuzz(fuzz::Options),
    /// Measure tracer beside its peers: `cargo xtask bench --setup` installs them in a folder of their own
    Bench(bench::Options),
    /// Write the files of a new tool: `cargo xtask new-tool forksnoop --kind snoop`
    NewTool(new_tool::Options),
    /// Check format, clippy, the tools' names, and that no file tells of a machine
    Lint,
}

fn main() -> ExitCode {
    match Workspace::find().and_then(|workspace| execute(Command::parse(), &workspace)) {
        Ok(code) => code,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command, workspace: &Workspace) -> Result<ExitCode> {
    match command {
        Command::Setup => setup::everything(workspace)?,
        Command::Build(options) => build::tracer(workspace, &options).map(drop)?,
        Command::Run { build, args } => run::tool(workspace, &build, &args)?,
        Command::NewTool(options) => new_tool::run(workspace, &options)?,
        Command::Fuzz(options) => fuzz::run(workspace, &options)?,
        Command::Dist => dist::run(workspace)?,
        Command::Bench(options) => return bench::run(workspace, &options),
        Command::Lint => lint::run(workspace)?,
        Command::Test(options) => {
            if !test::run(workspace, &options)? {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
