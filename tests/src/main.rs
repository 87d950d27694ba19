//! Scenarios for `tracer`: each runs the real binary beside a workload that counts what it does,
//! and compares the rows with the workload's own account. One static program is the runner, every
//! test and every workload, so that a VM needs nothing else.
//!
//! `tracer-tests [--filter TEXT] [--vm] [--list]`

mod cli;
mod harness;
mod standard;
#[path = "../tools/mod.rs"]
mod tools;

use std::{env, ffi::OsString, process::ExitCode};

use harness::{Suite, load, runner};

/// Everything there is to run: the tools' scenarios, then those of what tools share.
fn suites() -> impl Iterator<Item = &'static Suite> {
    tools::SUITES.iter().chain(cli::SUITES).copied()
}

fn main() -> ExitCode {
    if let Some(code) = load::told_exit_code() {
        return code;
    }
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    match args.split_first() {
        Some((word, rest)) if word == load::WORD => load::main(rest),
        Some((word, rest)) if word == runner::ONE => runner::one(rest),
        _ => runner::main(&args),
    }
}
