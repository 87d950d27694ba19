//! tracer: eBPF tracing tools in one static binary.

mod bpf;
mod btf;
mod cli;
mod doctor;
mod engine;
mod error;
mod expr;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod help;
mod list;
mod objects;
mod output;
mod replay;
mod symbols;
mod system;
mod tool;
mod tools;

pub use cli::main;
