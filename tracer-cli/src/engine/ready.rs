//! Telling a script that everything is attached.

use std::{
    fs::{self, File},
    io::Write,
    os::fd::FromRawFd,
    path::PathBuf,
};

use anyhow::Context;

use super::common::Common;
use crate::error::Failure;

const MESSAGE: &[u8] = b"ready\n";

/// Checks the descriptor before anything is loaded, and keeps it from `-- CMD`: whoever waits for its end
/// is not to wait for CMD's. A file that an earlier run has left is no sign of this one.
///
/// # Errors
/// If `--ready-fd` names a descriptor that is not open.
pub fn claim(common: &Common) -> Result<(), Failure> {
    let is_left = |path: &&PathBuf| path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    if let Some(path) = common.ready_file.as_ref().filter(is_left).filter(|_| !common.dry_run) {
        // If it can't be removed, it can't be written either, which will be said.
        let _ = fs::remove_file(path);
    }
    if let Some(fd) = common.ready_fd {
        // SAFETY: changes a flag of the descriptor that the user gave us, if it is one.
        if fd < 0 || unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(Failure::Usage(format!("--ready-fd: descriptor {fd} is not open")));
        }
    }
    Ok(())
}

/// Says that everything is attached, where the flags want it said.
///
/// # Errors
/// If the file can't be written.
pub fn announce(common: &Common) -> anyhow::Result<()> {
    if let Some(path) = &common.ready_file {
        fs::write(path, MESSAGE).with_context(|| format!("--ready-file {}", path.display()))?;
    }
    if let Some(fd) = common.ready_fd {
        // SAFETY: the user gave us this descriptor to write to and close; it was checked to be
        // open before we opened any of our own.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(MESSAGE).context("--ready-fd")?;
    }
    Ok(())
}
