//! Measures tracer beside the tools that users have, on the same machine and in one run.
//!
//! `cargo xtask bench` builds what is measured and runs `tracer-bench run`, which starts itself again for
//! its workloads (`load`) and for the floors (`floor`).

mod contender;
mod floor;
mod load;
mod measure;
mod report;
mod stats;
mod target;
mod tool;
mod world;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
#[command(name = "tracer-bench")]
enum Command {
    /// Measure, print the table, and say which targets are met
    Run(world::Options),
    /// A workload that waits for a line on stdin, and says how long it took
    Load {
        #[arg(value_enum)]
        kind: load::Kind,
        /// How many operations
        operations: u64,
        /// A file or a number, as the workload needs it
        argument: Option<String>,
    },
    /// A floor: programs from an object, and a reader that only discards
    Floor {
        object: PathBuf,
        /// Names of programs
        programs: Vec<String>,
    },
}

/// What a workload executes: a process that does nothing.
const NOTHING: &str = "nothing";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == NOTHING) {
        return ExitCode::SUCCESS;
    }
    match execute(Command::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(options) => measure::run(&options),
        Command::Load { kind, operations, argument } => {
            load::run(kind, operations, argument.as_deref()).map(|()| ExitCode::SUCCESS)
        }
        Command::Floor { object, programs } => floor::run(&object, &programs).map(|()| ExitCode::SUCCESS),
    }
}
