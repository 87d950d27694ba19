//! Has anything changed since a step was last done? A stamp records name, size and time of
//! every input and output, so that a step can be left out without asking cargo.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// A step with what it reads and makes.
#[derive(Debug)]
pub struct Step<'a> {
    workspace: &'a Workspace,
    stamp: PathBuf,
    text: String,
    inputs: Vec<PathBuf>,
    outputs: Vec<PathBuf>,
}

/// A step that must be done, with its inputs as they were before it began. Another xtask that comes to
/// the same step waits until this is gone.
#[derive(Debug)]
pub struct Due {
    _lock: File,
    stamp: PathBuf,
    inputs: String,
    outputs: Vec<PathBuf>,
}

impl<'a> Step<'a> {
    pub fn new(workspace: &'a Workspace, name: &str) -> Self {
        let stamp = workspace.target().join("xtask").join(format!("{name}.stamp"));
        // Another xtask may do the step in another way.
        let inputs = std::env::current_exe().into_iter().collect();
        Self { workspace, stamp, text: String::new(), inputs, outputs: Vec::new() }
    }

    /// Something else that the result depends on.
    pub fn text(mut self, text: String) -> Self {
        self.text = text;
        self
    }

    /// Files and folders, by their paths in the checkout.
    pub fn inputs(mut self, names: &[&str]) -> Self {
        self.inputs.extend(names.iter().map(|name| self.workspace.root.join(name)));
        self
    }

    pub fn input(mut self, path: PathBuf) -> Self {
        self.inputs.push(path);
        self
    }

    /// A file or folder that the step makes.
    pub fn output(mut self, path: PathBuf) -> Self {
        self.outputs.push(path);
        self
    }

    /// `None`: everything is as the step left it.
    pub fn due(self) -> Result<Option<Due>> {
        let lock = lock(&self.stamp).with_context(|| format!("cannot lock {}", self.stamp.display()))?;
        let described = describe(&self.inputs);
        let is_complete = described.is_ok();
        let inputs = format!("{}\n{}", self.text, described.unwrap_or_default());
        let due = Due { _lock: lock, stamp: self.stamp, inputs, outputs: self.outputs };
        let written = fs::read_to_string(&due.stamp);
        let is_same = matches!((written, due.state()), (Ok(old), Ok(now)) if old == now);
        Ok((!is_complete || !is_same).then_some(due))
    }
}

/// Waits until nobody else is at this stamp's step.
fn lock(stamp: &Path) -> io::Result<File> {
    if let Some(folder) = stamp.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(stamp.with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

impl Due {
    /// Record the step as done.
    pub fn done(self) -> Result<()> {
        fs::write(&self.stamp, self.state()?)
            .with_context(|| format!("cannot write {}", self.stamp.display()))
    }

    fn state(&self) -> io::Result<String> {
        Ok(format!("{}\n{}", self.inputs, describe(&self.outputs)?))
    }
}

fn describe(paths: &[PathBuf]) -> io::Result<String> {
    let mut lines = String::new();
    paths.iter().try_for_each(|path| add_lines(path, &mut lines))?;
    Ok(lines)
}

/// A line for a file; a folder's lines are its files', in the order of their names.
fn add_lines(path: &Path, lines: &mut String) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        lines.push_str(&line(path, &metadata));
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| add_lines(entry, lines))
}

fn line(path: &Path, metadata: &Metadata) -> String {
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    format!("{} {} {seconds}.{nanos:09}\n", path.display(), metadata.len())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn any_change_makes_a_step_due() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().to_owned();
        let workspace = Workspace { cache: root.join("cache"), root: root.clone() };
        let step = || Step::new(&workspace, "step").inputs(&["src"]).output(root.join("made"));
        let do_it = || -> Result<()> {
            let due = step().due()?.context("not due")?;
            fs::write(root.join("made"), "")?;
            due.done()
        };
        fs::create_dir(root.join("src"))?;
        fs::write(root.join("src/a"), "1")?;
        do_it().context("never done")?;
        assert!(step().due()?.is_none());
        assert!(step().text("otherwise".to_owned()).due()?.is_some());
        fs::write(root.join("src/a"), "22")?;
        do_it().context("changed")?;
        fs::write(root.join("src/b"), "")?;
        do_it().context("added")?;
        fs::remove_file(root.join("src/a"))?;
        do_it().context("removed")?;
        fs::remove_file(root.join("made"))?;
        do_it().context("output removed")?;
        fs::remove_dir_all(root.join("src"))?;
        do_it().context("input missing")?;
        do_it().context("input still missing")
    }

    #[test]
    fn a_change_while_the_step_runs_makes_it_due_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().to_owned();
        let workspace = Workspace { cache: root.join("cache"), root: root.clone() };
        fs::write(root.join("a"), "1")?;
        let step = || Step::new(&workspace, "step").inputs(&["a"]);
        let due = step().due()?.context("not due")?;
        fs::write(root.join("a"), "22")?;
        due.done()?;
        assert!(step().due()?.is_some());
        Ok(())
    }
    #[test]
    fn who_comes_second_waits_and_finds_it_done() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().to_owned();
        let workspace = Workspace { cache: root.join("cache"), root: root.clone() };
        let step = || Step::new(&workspace, "step").output(root.join("made"));
        let due = step().due()?.context("not due")?;
        let is_due = thread::scope(|scope| {
            let second = scope.spawn(|| step().due().map(|due| due.is_some()));
            fs::write(root.join("made"), "")?;
            due.done()?;
            second.join().expect("it does not panic")
        })?;
        assert!(!is_due);
        Ok(())
    }
}
