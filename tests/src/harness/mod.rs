//! What scenarios are made of: tests and workloads, the tool under test, what rows must be.

pub mod bpf;
pub mod disk;
pub mod extra;
pub mod frames;
pub mod hidden;
pub mod lines;
pub mod load;
pub mod picture;
pub mod place;
pub mod rows;
pub mod runner;
pub mod shapes;
pub mod slow;
pub mod sys;
pub mod tcp;
pub mod tool;
pub mod tracefs;
pub mod uring;

use std::{
    env, error, fmt,
    time::{Duration, Instant},
};

pub use anyhow::{Context, Result, bail, ensure};
pub use load::{Gate, Load};
pub use place::{Cgroup, Place, Scratch};
pub use rows::equal;
pub use serde_json::{Value, json};
pub use tool::{Output, STACKS_ARE_CUT, Tool, peak_memory, tracer};

use crate::standard::Standard;

/// What belongs to one tool, or to one concern of all tools.
pub struct Suite {
    pub name: &'static str,
    /// What the checks that every tool must pass need to know of this one.
    pub standard: Option<Standard>,
    pub tests: &'static [Test],
    pub workloads: &'static [Workload],
}

pub struct Test {
    pub name: &'static str,
    pub run: fn() -> Result<()>,
    /// Whether only root can run it.
    pub root: bool,
}

impl Test {
    pub const fn new(name: &'static str, run: fn() -> Result<()>) -> Self {
        Self { name, run, root: true }
    }

    /// A test that any user can run.
    pub const fn user(name: &'static str, run: fn() -> Result<()>) -> Self {
        Self { name, run, root: false }
    }
}

/// A test ready to run.
pub type Run = Box<dyn Fn() -> Result<()>>;

/// A deed of known size: does it when the gate opens, and returns the account of what it did.
pub struct Workload {
    pub name: &'static str,
    pub run: fn(&mut Gate, &[String]) -> Result<Value>,
}

impl Workload {
    pub const fn new(name: &'static str, run: fn(&mut Gate, &[String]) -> Result<Value>) -> Self {
        Self { name, run }
    }
}

/// Why this kernel cannot run a test.
#[derive(Debug)]
pub struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Skip {}

/// The error that makes a test skipped instead of failed.
pub fn skip(reason: impl Into<String>) -> anyhow::Error {
    Skip(reason.into()).into()
}

/// Tells the processes of a run that they are in an emulated machine.
const VM_VARIABLE: &str = "TRACER_TESTS_VM";

/// Whether this is an emulated machine, which is some twenty times slower.
pub fn in_vm() -> bool {
    env::var_os(VM_VARIABLE).is_some()
}

/// A quantity for real machines, another for emulated ones.
pub fn by_machine<T>(real: T, emulated: T) -> T {
    if in_vm() { emulated } else { real }
}

/// How long to wait for what should come at once.
pub fn patience() -> Duration {
    Duration::from_secs(by_machine(30, 200))
}

/// The end of the patience that starts now.
pub fn deadline() -> Instant {
    Instant::now() + patience()
}
