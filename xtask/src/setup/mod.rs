//! What building and testing need, installed where it is missing. Every part is silent and
//! quick when all is there, so each command just asks for the parts it uses.

mod bpf_linker;
mod core_source;
pub mod packages;

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace::Workspace;

/// Everything that any command needs.
pub fn everything(workspace: &Workspace) -> Result<()> {
    packages::require(packages::BUILD)?;
    packages::require(packages::VM)?;
    packages::require(packages::SCENARIOS)?;
    build_tools(workspace).map(drop)
}

/// What compiles kernel programs; returns the path of bpf-linker.
pub fn build_tools(workspace: &Workspace) -> Result<PathBuf> {
    core_source::require(workspace)?;
    bpf_linker::require(workspace)
}
