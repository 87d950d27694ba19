//! Flame graphs, which inferno draws.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use inferno::{differential, flamegraph};

use super::tree::Tree;

#[derive(clap::Args, Clone, Debug)]
pub struct FlameFlags {
    /// Draw a flame graph (SVG), of the whole run
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    flamegraph: Option<PathBuf>,
    /// With --flamegraph: colour what has changed since these folded stacks
    #[arg(long, value_name = "FOLDED", requires = "flamegraph", help_heading = "Output")]
    diff: Option<PathBuf>,
}

/// A flame graph that is to be drawn at the run's end.
pub struct FlameGraph {
    canvas: Canvas,
    /// The folded stacks that it is compared with.
    before: Option<String>,
    pub stacks: Tree,
}

/// Its file, which is opened before anything is traced, so that a wrong path is told at once. What it held stays
/// until there is something to draw.
struct Canvas {
    path: PathBuf,
    file: File,
    /// Made for this run, and taken away again if nothing is drawn.
    is_new: bool,
}

/// What a flame graph says of itself.
pub struct About {
    pub title: String,
    pub subtitle: String,
    pub unit: &'static str,
}

impl FlameGraph {
    /// The flame graph that is asked for.
    ///
    /// # Errors
    /// If its file can't be written, or what it is compared with not be read.
    pub fn new(flags: &FlameFlags) -> anyhow::Result<Option<Self>> {
        let Some(path) = flags.flamegraph.clone() else { return Ok(None) };
        let before = flags.diff.as_deref().map(read_folded).transpose()?;
        let canvas = Canvas::open(path)?;
        Ok(Some(Self { canvas, before, stacks: Tree::default() }))
    }

    /// Draws it into its file; nothing if there are no stacks.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn draw(self, about: About) -> anyhow::Result<()> {
        let mut folded = Vec::new();
        self.stacks.fold(&mut folded);
        if let Some(before) = &self.before {
            let mut both = Vec::new();
            let options = differential::Options { normalize: true, ..Default::default() };
            differential::from_readers(options, before.as_bytes(), &folded[..], &mut both)?;
            folded = both;
        }
        if folded.is_empty() {
            eprintln!("tracer: no stacks were seen, so {} was not drawn", self.canvas.path.display());
            return Ok(());
        }
        let mut options = flamegraph::Options::default();
        options.title = about.title;
        options.subtitle = Some(about.subtitle);
        options.count_name = about.unit.to_owned();
        let mut svg = Vec::new();
        flamegraph::from_reader(&mut options, &folded[..], &mut svg)
            .context("drawing the flame graph failed")?;
        self.canvas.fill(&svg)
    }
}

impl Canvas {
    fn open(path: PathBuf) -> anyhow::Result<Self> {
        let open = || match File::create_new(&path) {
            Ok(file) => Ok((file, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = File::options().write(true).create(true).truncate(false).open(&path)?;
                Ok((file, false))
            }
            Err(error) => Err(error),
        };
        let (file, is_new) = open().with_context(|| context(&path))?;
        Ok(Self { path, file, is_new })
    }

    fn fill(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.is_new = false;
        // Of a pipe or a device, there is nothing to take away.
        let empty = || if self.file.metadata()?.is_file() { self.file.set_len(0) } else { Ok(()) };
        empty().and_then(|()| (&self.file).write_all(bytes)).with_context(|| context(&self.path))
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        if self.is_new {
            // An empty file that stays is no more than a nuisance.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn context(path: &Path) -> String {
    format!("--flamegraph {}", path.display())
}

/// Reads folded stacks, a line each: `outer;inner WEIGHT`.
fn read_folded(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("--diff {}", path.display()))?;
    let is_folded =
        |line: &str| line.rsplit_once(' ').is_some_and(|(_, weight)| weight.parse::<u64>().is_ok());
    if let Some(line) = text.lines().position(|line| !line.is_empty() && !is_folded(line)) {
        bail!("--diff {}: line {} is no folded stack", path.display(), line + 1);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Frame, *};

    fn graph(path: &Path, before: Option<&str>) -> String {
        let mut stacks = Tree::default();
        for (stack, weight) in [("p;<main>;a", 60), ("p;<main>;b", 40)] {
            let frames: Vec<Frame> = stack.split(';').map(|name| name.as_bytes().into()).collect();
            stacks.add(&frames, weight);
        }
        let canvas = Canvas::open(path.to_owned()).unwrap();
        let graph = FlameGraph { canvas, before: before.map(str::to_owned), stacks };
        let about = About { title: "a title".to_owned(), subtitle: "pid 1".to_owned(), unit: "samples" };
        graph.draw(about).unwrap();
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn names_and_shares_are_in_the_picture() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let svg = graph(file.path(), None);
        for part in ["<svg", "a title", "pid 1", "&lt;main&gt;", "<title>a (60 samples, 60.00%)</title>"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    #[test]
    fn differences_are_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let svg = graph(file.path(), Some("p;<main>;a 20\np;<main>;b 80\n"));
        assert!(svg.contains("<title>a (60 samples, 60.00%; +40.00%)</title>"), "{svg}");
    }

    #[test]
    fn files_are_changed_only_when_there_is_something_to_draw() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        fs::write(&old, "what was there").unwrap();
        for path in [&old, &new] {
            let about = About { title: String::new(), subtitle: String::new(), unit: "samples" };
            let canvas = Canvas::open(path.clone()).unwrap();
            FlameGraph { canvas, before: None, stacks: Tree::default() }.draw(about).unwrap();
        }
        assert_eq!(fs::read_to_string(&old).unwrap(), "what was there");
        assert!(!new.exists());
        fs::write(&old, "x".repeat(1 << 20)).unwrap();
        for path in [&old, &new] {
            assert!(graph(path, None).trim_end().ends_with("</svg>"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_of_at_once() {
        let flags = FlameFlags { flamegraph: Some("/nonexistent/a.svg".into()), diff: None };
        let error = FlameGraph::new(&flags).err().unwrap();
        assert_eq!(
            format!("{error:#}"),
            "--flamegraph /nonexistent/a.svg: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn what_is_not_folded_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "a;b 1\nno weight\n").unwrap();
        let error = read_folded(file.path()).unwrap_err();
        assert!(error.to_string().ends_with("line 2 is no folded stack"), "{error}");
    }
}
