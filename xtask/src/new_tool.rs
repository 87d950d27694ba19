//! `cargo xtask new-tool`: the files of a new tool, which builds, runs and passes its test at
//! once, and shows in each of its files what to put there.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The tool's name: lower-case letters and digits
    name: String,
    /// What it prints: a row an event, slow events only, histograms, sorted counters, or stacks
    #[arg(long)]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Snoop,
    Slower,
    Dist,
    Top,
    Stack,
}

/// A tool's own files in the folders of both sides and of the tests.
struct Templates {
    common: &'static str,
    ebpf: &'static str,
    cli: &'static str,
    test: &'static str,
}

macro_rules! templates {
    ($kind:literal) => {
        Templates {
            common: include_str!(concat!("../templates/", $kind, "/common.rs")),
            ebpf: include_str!(concat!("../templates/", $kind, "/ebpf.rs")),
            cli: include_str!(concat!("../templates/", $kind, "/cli.rs")),
            test: include_str!(concat!("../templates/", $kind, "/test.rs")),
        }
    };
}

const PAGE: &str = include_str!("../templates/page.md");

impl Kind {
    const fn templates(self) -> Templates {
        match self {
            Self::Snoop => templates!("snoop"),
            Self::Slower => templates!("slower"),
            Self::Dist => templates!("dist"),
            Self::Top => templates!("top"),
            Self::Stack => templates!("stack"),
        }
    }
}

/// Write the files and add the tool to the lists.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let name = options.name.as_str();
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    ensure!(is_name, "a tool's name is lower-case letters and digits, as in execsnoop");
    let Templates { common, ebpf, cli, test } = options.kind.templates();
    let files = [
        (format!("tracer-common/src/tools/{name}.rs"), common),
        (format!("tracer-ebpf/src/bin/{name}.rs"), ebpf),
        (format!("tracer-cli/src/tools/{name}.rs"), cli),
        (format!("tests/tools/{name}.rs"), test),
        (format!("docs/tools/{name}.md"), PAGE),
    ];
    if let Some((path, _)) = files.iter().find(|(path, _)| workspace.root.join(path).exists()) {
        bail!("there is {path} already");
    }
    for (path, template) in &files {
        fs::write(workspace.root.join(path), fill(template, name)).with_context(|| path.clone())?;
        eprintln!("xtask: wrote {path}");
    }
    let lists = [
        ("tracer-common/src/tools/mod.rs", vec![format!("pub mod {name};")]),
        (
            "tracer-cli/src/tools/mod.rs",
            vec![format!("mod {name};"), format!("    Entry::of::<{name}::{}>(),", type_name(name))],
        ),
        ("tests/tools/mod.rs", vec![format!("mod {name};"), format!("    &{name}::SUITE,")]),
    ];
    for (path, lines) in lists {
        add_lines(&workspace.root.join(path), &lines).with_context(|| path.to_owned())?;
        eprintln!("xtask: added it to {path}");
    }
    Ok(())
}

fn fill(template: &str, name: &str) -> String {
    template.replace("@name@", name).replace("@Name@", &type_name(name))
}

fn type_name(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

fn add_lines(path: &Path, lines: &[String]) -> Result<()> {
    let mut text = fs::read_to_string(path)?;
    for line in lines {
        text = insert_sorted(&text, line).with_context(|| format!("no line like {line:?}"))?;
    }
    Ok(fs::write(path, text)?)
}

/// How the lists' lines begin.
const STARTS: [&str; 4] = ["pub mod ", "mod ", "    Entry::of::<", "    &"];

/// Puts a line among those that begin in the same way, in order.
fn insert_sorted(text: &str, line: &str) -> Option<String> {
    let start = STARTS.iter().find(|start| line.starts_with(**start))?;
    let mut lines: Vec<&str> = text.lines().collect();
    let at = match lines.iter().position(|other| other.starts_with(start) && *other > line) {
        Some(at) => at,
        None => lines.iter().rposition(|other| other.starts_with(start))? + 1,
    };
    lines.insert(at, line);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "mod biosnoop;\nmod tcplife;\n\nuse x;\n\nconst A: &[B] = &[\n    &biosnoop::SUITE,\n    &tcplife::SUITE,\n];\n";

    #[test]
    fn lines_go_where_they_belong() {
        let once = insert_sorted(LIST, "mod opensnoop;").unwrap();
        let twice = insert_sorted(&once, "    &opensnoop::SUITE,").unwrap();
        assert!(twice.starts_with("mod biosnoop;\nmod opensnoop;\nmod tcplife;\n"));
        assert!(twice.contains("    &biosnoop::SUITE,\n    &opensnoop::SUITE,\n    &tcplife::SUITE,\n];\n"));
        assert!(insert_sorted(LIST, "mod vfsstat;").unwrap().contains("mod tcplife;\nmod vfsstat;\n\nuse"));
        assert_eq!(insert_sorted("nothing\n", "mod x;"), None);
    }

    #[test]
    fn templates_are_filled() {
        for kind in [Kind::Snoop, Kind::Slower, Kind::Dist, Kind::Top, Kind::Stack] {
            let Templates { common, ebpf, cli, test } = kind.templates();
            for text in [common, ebpf, cli, test, PAGE].map(|template| fill(template, "forkslower")) {
                assert!(text.contains("forkslower"), "{text}");
                assert!(!text.contains('@'), "{text}");
            }
        }
        assert_eq!(type_name("execsnoop"), "Execsnoop");
    }
}
