//! What all tools share: the command line's promises, whatever is traced.

mod ci;
mod codes;
mod command;
mod conditions;
mod doctor;
mod errors;
mod faults;
mod filters;
mod flags;
mod life;
mod namespaces;
mod output;
mod package;
mod programs;
mod replay;
mod stacks;
mod storms;

use crate::harness::{
    Gate, Output, Result, Suite, Value, Workload, bail, json,
    load::{self, NOBODY},
    shapes, sys, tracer,
};
use crate::tools;

pub const SUITES: &[&Suite] = &[
    &SHARED,
    &ci::SUITE,
    &codes::SUITE,
    &command::SUITE,
    &conditions::SUITE,
    &doctor::SUITE,
    &errors::SUITE,
    &faults::SUITE,
    &filters::SUITE,
    &flags::SUITE,
    &life::SUITE,
    &namespaces::SUITE,
    &output::SUITE,
    &package::SUITE,
    &programs::SUITE,
    &replay::SUITE,
    &stacks::SUITE,
    &storms::SUITE,
];

/// Workloads that belong to nobody in particular.
const SHARED: Suite = Suite {
    name: "cli",
    standard: None,
    tests: &[],
    workloads: &[Workload::new("idle", load::idle), Workload::new("die", die), shapes::BECOME],
};

/// Ends by SIGTERM.
fn die(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    sys::kill(sys::pid(), libc::SIGTERM)?;
    bail!("outlived its end")
}

/// The names of the tools that have scenarios.
fn tool_names() -> impl Iterator<Item = &'static str> {
    tools::SUITES.iter().map(|suite| suite.name)
}

/// Those of them that this kernel can run.
fn tool_names_here() -> impl Iterator<Item = &'static str> {
    let can_run =
        |suite: &&&Suite| suite.standard.as_ref().is_some_and(|standard| (standard.needs)().is_ok());
    tools::SUITES.iter().filter(can_run).map(|suite| suite.name)
}

/// A run as an unprivileged user, of a program that such a user can reach.
fn as_nobody(words: &[&str]) -> Result<Output> {
    let home = crate::harness::Scratch::new()?;
    let program = home.program("tracer", &crate::harness::tool::path()?)?;
    tracer(words).program(&program).user(NOBODY).output()
}
