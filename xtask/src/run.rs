//! `cargo xtask run`: the built tool in place of this process, so that signals and the exit
//! status are its own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Error, Result};

use crate::build;
use crate::process::{self, Root};
use crate::workspace::Workspace;

/// Returns only when the tool could not be started.
pub fn tool(workspace: &Workspace, options: &build::Options, args: &[OsString]) -> Result<()> {
    let tracer = build::tracer(workspace, options)?;
    let root = Root::find().with_context(|| {
        let typed = process::shown(Command::new("sudo").arg(&tracer).args(args));
        format!("tracing needs root: type `{typed}`")
    })?;
    let error = root.command(&tracer).args(args).exec();
    Err(Error::from(error).context(format!("cannot start {}", tracer.display())))
}
