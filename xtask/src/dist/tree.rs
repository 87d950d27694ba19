//! What a package holds, as it lies under /usr: the binary, and what it prints about itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{licences, write_file};
use crate::process;
use crate::workspace::Workspace;

/// A folder of links by which tracer is each of its tools. It is not in PATH by itself, so that
/// they hide no installed tool.
const LINKS: &str = "lib/tracer/bcc";
/// tracer's own commands.
const COMMANDS: &[&str] = &["completions", "doctor", "list", "replay"];
const MAN: &str = "share/man/man1";
/// Where each shell looks for completions.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/tracer"),
    ("zsh", "share/zsh/vendor-completions/_tracer"),
    ("fish", "share/fish/vendor_completions.d/tracer.fish"),
];

pub fn write(workspace: &Workspace, tracer: &Path, usr: &Path) -> Result<()> {
    write_file(&usr.join("bin/tracer"), fs::read(tracer)?, 0o755)?;
    for (shell, file) in COMPLETIONS {
        write_file(&usr.join(file), print(tracer, &["completions", shell])?, 0o644)?;
    }
    write_pages(tracer, usr)?;
    let doc = usr.join("share/doc/tracer");
    write_file(&doc.join("README.md"), fs::read(workspace.root.join("README.md"))?, 0o644)?;
    write_file(&doc.join("copyright"), licences::copyright(workspace)?, 0o644)
}

/// The page of each command and tool, and a link and a page's link for each of a tool's names.
fn write_pages(tracer: &Path, usr: &Path) -> Result<()> {
    let folder = usr.join(MAN);
    write_page(&folder, "tracer", &print(tracer, &["help", "--man"])?)?;
    for name in COMMANDS {
        write_page(&folder, &format!("tracer-{name}"), &print(tracer, &["help", "--man", name])?)?;
    }
    fs::create_dir_all(usr.join(LINKS))?;
    for (name, aliases) in tools(tracer)? {
        write_page(&folder, &format!("tracer-{name}"), &print(tracer, &["help", "--man", &name])?)?;
        symlink("../../../bin/tracer", usr.join(LINKS).join(&name))?;
        for alias in aliases {
            symlink("../../../bin/tracer", usr.join(LINKS).join(&alias))?;
            symlink(format!("tracer-{name}.1.gz"), folder.join(format!("tracer-{alias}.1.gz")))?;
        }
    }
    Ok(())
}

fn write_page(folder: &Path, name: &str, text: &str) -> Result<()> {
    let page = folder.join(format!("{name}.1"));
    write_file(&page, text, 0o644)?;
    process::run_quietly(Command::new("gzip").args(["-9", "-n", "-f"]).arg(&page))
}

/// The tools' names, each with its aliases.
fn tools(tracer: &Path) -> Result<Vec<(String, Vec<String>)>> {
    let list: Value = serde_json::from_str(&print(tracer, &["list", "--json"])?)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let tool = |tool: &Value| {
        let aliases = tool["aliases"].as_array()?.iter().filter_map(text).collect();
        Some((text(&tool["name"])?, aliases))
    };
    let tools: Option<Vec<_>> = list["tools"].as_array().and_then(|tools| tools.iter().map(tool).collect());
    tools.context("`tracer list --json` is not as it should be")
}

fn print(tracer: &Path, words: &[&str]) -> Result<String> {
    process::read(Command::new(tracer).args(words))
}
