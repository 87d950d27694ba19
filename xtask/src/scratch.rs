//! Folders for work in progress.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A new, empty folder that is removed with its owner.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Whatever an earlier run left there goes.
    pub fn new(folder: PathBuf) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot write {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind costs room and nothing else.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_new_and_goes_away() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a/b");
        fs::create_dir_all(path.join("old"))?;
        let scratch = Scratch::new(path.clone())?;
        assert!(!scratch.join("old").exists() && path.exists());
        drop(scratch);
        assert!(!path.exists());
        Ok(())
    }
}
