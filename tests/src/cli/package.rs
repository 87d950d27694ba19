//! The Debian package, as `cargo xtask test` has installed it into a root of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::harness::{Context, Load, Result, Suite, Test, Value, ensure, equal, skip, tracer};

pub const SUITE: Suite = Suite {
    name: "cli::package",
    standard: None,
    tests: &[
        Test::user("holds_all_of_every_tool", holds_all_of_every_tool),
        Test::new("a_tool_runs_by_its_link", a_tool_runs_by_its_link),
    ],
    workloads: &[],
};

/// The root that the package is installed in.
const ROOT: &str = "TRACER_PACKAGE";

fn usr() -> Result<PathBuf> {
    let root =
        env::var_os(ROOT).ok_or_else(|| skip(format!("{ROOT} names no root: use `cargo xtask test`")))?;
    Ok(Path::new(&root).join("usr"))
}

/// What `tracer list --json` tells: each tool with its aliases.
fn names(program: &Path) -> Result<Vec<(String, Vec<String>)>> {
    let output = tracer(&["list", "--json"]).program(program).output()?.ok()?;
    let list: Value = serde_json::from_str(output.text()?)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let aliases = |tool: &Value| tool["aliases"].as_array().into_iter().flatten().map(text).collect();
    let tools = list["tools"].as_array().context("no list")?.iter();
    Ok(tools.map(|tool| (text(&tool["name"]), aliases(tool))).collect())
}

fn holds_all_of_every_tool() -> Result<()> {
    let usr = usr()?;
    let program = usr.join("bin/tracer");
    let status = fs::read_to_string(usr.join("../var/lib/dpkg/status"))?;
    ensure!(status.contains("Package: tracer\nStatus: install ok installed\n"), "dpkg says: {status}");
    ensure!(!status.contains("\nDepends:"), "a static binary depends on nothing: {status}");
    let size = status.lines().find_map(|line| line.strip_prefix("Installed-Size: ")).context("no size")?;
    ensure!(size.parse::<u64>()? > fs::metadata(&program)?.len() >> 10, "the size is {size} kB");
    let sums = fs::read_to_string(usr.join("../var/lib/dpkg/info/tracer.md5sums"))?;
    ensure!(sums.contains("  usr/bin/tracer\n"), "no sum of the binary: {sums}");
    let mut wanted = vec!["share/man/man1/tracer.1.gz".to_owned(), "share/doc/tracer/copyright".to_owned()];
    for (name, aliases) in names(&program)? {
        for name in std::iter::once(&name).chain(&aliases) {
            let link = usr.join("lib/tracer/bcc").join(name);
            equal("where a link leads", link.canonicalize()?, program.canonicalize()?)?;
            wanted.push(format!("share/man/man1/tracer-{name}.1.gz"));
        }
    }
    let commands = ["completions", "doctor", "list", "replay"];
    wanted.extend(commands.map(|name| format!("share/man/man1/tracer-{name}.1.gz")));
    let changelog = fs::read(usr.join("share/doc/tracer/changelog.gz"))?;
    ensure!(changelog.starts_with(&[0x1f, 0x8b]), "the changelog is not compressed");
    for file in wanted {
        let content = fs::read(usr.join(&file)).with_context(|| file.clone())?;
        ensure!(content.len() > 500, "{file} has {} bytes", content.len());
    }
    for (shell, file) in [
        ("bash", "share/bash-completion/completions/tracer"),
        ("zsh", "share/zsh/vendor-completions/_tracer"),
        ("fish", "share/fish/vendor_completions.d/tracer.fish"),
    ] {
        let printed = tracer(&["completions", shell]).program(&program).output()?.ok()?;
        ensure!(fs::read(usr.join(file))? == printed.stdout, "{file} is not what tracer prints");
    }
    Ok(())
}

fn a_tool_runs_by_its_link() -> Result<()> {
    let link = usr()?.join("lib/tracer/bcc/opensnoop");
    let mut load = Load::start(&["opens", "7"])?;
    // The name of the tool is that of the link; the first word only stands where a flag may follow.
    let tool = tracer(&["--json", "-p", &load.pid()]).program(&link).start()?;
    load.finish()?;
    equal("rows", tool.interrupt()?.ok()?.rows()?.len(), 7)
}
