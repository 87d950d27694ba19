//! Nothing in the repository tells of the machine it was written on: no host name of a mirror
//! or registry that is configured there, no path of the checkout or the home folder.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::apt;
use crate::process;
use crate::workspace::{self, Workspace};

const PROXY_VARIABLES: &[&str] = &["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];

pub fn check(workspace: &Workspace) -> Result<()> {
    let traces = traces(workspace)?;
    let mut found = Vec::new();
    for name in files(workspace)? {
        // A file may be deleted and not yet committed so.
        let content = fs::read(workspace.root.join(&name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        for (number, line) in text.lines().enumerate() {
            let hits = traces.iter().filter(|trace| holds(line, trace));
            found.extend(hits.map(|trace| format!("{name}:{}: {trace}", number + 1)));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("names of this machine's are in the files:\n{}", found.join("\n"))
}

/// What git has, or would take.
fn files(workspace: &Workspace) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(&workspace.root);
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = process::read(&mut git)?;
    Ok(list.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn traces(workspace: &Workspace) -> Result<Vec<String>> {
    let apt = apt::system_configuration();
    let mut traces: Vec<String> = apt.split_whitespace().filter_map(host).collect();
    traces.extend(PROXY_VARIABLES.iter().filter_map(|name| host(&env::var(name).ok()?)));
    traces.extend(registry_hosts(&workspace::cargo_home()?));
    traces.push(workspace.root.display().to_string());
    // With the slash: the home folder of root is on every machine.
    traces.push(format!("{}/", workspace::home()?.display()));
    traces.sort();
    traces.dedup();
    Ok(traces)
}

/// Cargo keeps each registry's index in a folder `HOST-HASH`.
fn registry_hosts(cargo_home: &Path) -> Vec<String> {
    let entries = fs::read_dir(cargo_home.join("registry/index")).into_iter().flatten();
    let host = |folder: String| folder.rsplit_once('-').map(|(host, _)| host.to_owned());
    entries
        .filter_map(|entry| host(entry.ok()?.file_name().into_string().ok()?))
        .filter(|host| host.contains('.'))
        .collect()
}

/// The host of a URI, unless it is this machine.
fn host(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let is_local = host.is_empty() || host == "localhost" || host.starts_with("127.");
    (!is_local).then(|| host.to_owned())
}

/// Whether a trace is in a line, and not just the end of a longer word.
fn holds(line: &str, trace: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || "._-".contains(c);
    line.match_indices(trace).any(|(at, _)| !line[..at].ends_with(continues))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_out_of_uris() {
        assert_eq!(host("http://m.example/debian").as_deref(), Some("m.example"));
        assert_eq!(host("https://me:secret@m.example:8080/x").as_deref(), Some("m.example"));
        assert_eq!(host("http://127.0.0.1:3128"), None);
        assert_eq!(host("file:///mirror"), None);
    }

    #[test]
    fn only_whole_names_are_traces() {
        assert!(holds("see /some/checkout/x", "/some/checkout"));
        assert!(holds("deb http://m.example/debian", "m.example"));
        assert!(!holds("a/some/checkout", "/some/checkout"));
        assert!(!holds("other.m.example", "m.example"));
    }
}
