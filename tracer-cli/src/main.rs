//! tracer: eBPF tracing tools in one static binary.

mod bpf;
mod btf;
mod cli;
mod doctor;
mod engine;
mod error;
mod list;
mod objects;
mod output;
mod system;
mod tool;
mod tools;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os().collect())
}
