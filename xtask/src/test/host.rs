//! The scenarios on the running kernel.

use std::path::Path;

use anyhow::Result;

use super::results::{Runner, Tally};
use crate::process::{self, Root};
use crate::report;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, filter: Option<&str>, strict: bool, package: &Path) -> Result<Tally> {
    report::heading("scenarios on this kernel");
    let Some(root) = Root::find() else {
        report::result("test host scenarios ... skipped: needs root");
        return Ok(if strict { Tally::FAILED } else { Tally::SKIPPED });
    };
    let mut command = root.command("env");
    command
        .arg(format!("TRACER_PACKAGE={}", package.display()))
        .arg(workspace.release_binary("tracer-tests"));
    if let Some(filter) = filter {
        command.args(["--filter", filter]);
    }
    let mut output = String::new();
    let succeeded = process::follow(&mut command, |line| {
        report::result(line);
        output.push_str(line);
        output.push('\n');
    })?;
    let mut tally = Runner::parse(&output).tally.unwrap_or(Tally::FAILED);
    if !succeeded && tally.failed == 0 {
        report::result("test host scenarios ... FAILED: the runner ended with an error");
        tally += Tally::FAILED;
    }
    Ok(tally)
}
