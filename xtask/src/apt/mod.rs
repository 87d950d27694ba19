//! Packages of other Debian releases, without touching the system: every suite has its own
//! apt configuration and lists in the cache folder, on the mirror that this machine uses.

pub mod sources;
pub mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Error, Result, bail};

use crate::process;
use crate::report;
use crate::scratch::Scratch;
use sources::{Entry, Mirror};

const SYSTEM_LIST: &str = "/etc/apt/sources.list";
const SYSTEM_LISTS: &str = "/etc/apt/sources.list.d";
/// The indexes name packages that the pool no longer has; give up after so many.
const TRIES: usize = 8;

/// A package in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub package: String,
    pub version: String,
}

/// Debian's archives as this machine reaches them.
#[derive(Debug)]
pub struct Apt {
    folder: PathBuf,
    archive: Mirror,
    security: Option<Mirror>,
}

impl Apt {
    /// `cache` is the folder that keeps the lists.
    pub fn open(cache: &Path) -> Result<Self> {
        let entries = system_entries();
        let archive =
            sources::archive(&entries).context("no Debian release in this machine's apt configuration")?;
        Ok(Self { folder: cache.join("apt"), archive, security: sources::security(&entries) })
    }

    /// The address of the mirror of Debian's releases.
    pub fn mirror(&self) -> &str {
        &self.archive.uri
    }

    /// The file of keys that it is signed with, if the configuration names one.
    pub fn keyring(&self) -> Option<&str> {
        self.archive.signed_by.as_deref().filter(|key| key.starts_with('/'))
    }

    /// Download the newest wanted package among those whose names begin with `prefix` into
    /// `folder`, from any of `suites`. One that the mirror has no more is no obstacle.
    pub fn fetch(
        &self,
        suites: &[&str],
        prefix: &str,
        wanted: impl Fn(&Candidate) -> bool,
        folder: &Path,
    ) -> Result<(Candidate, PathBuf)> {
        let mut refusal = Error::msg(format!("no {prefix}* in {}", suites.join(", ")));
        let mut fetched = Vec::new();
        for suite in suites.iter().filter_map(|name| self.suite(name)) {
            match suite {
                Ok(suite) => fetched.push(suite),
                Err(error) => refusal = error,
            }
        }
        let mut found = Vec::new();
        for suite in &fetched {
            let candidates = suite.candidates(prefix)?.into_iter().filter(&wanted);
            found.extend(candidates.map(|candidate| (suite, candidate)));
        }
        found.sort_by(|(_, a), (_, b)| version::compare(&b.version, &a.version));
        download_first(found, folder).unwrap_or(Err(refusal))
    }

    /// `None`: this machine's configuration names no mirror for it.
    fn suite(&self, name: &str) -> Option<Result<Suite>> {
        let is_security = name.ends_with("-security");
        let mirror = if is_security { self.security.as_ref()? } else { &self.archive };
        Some(self.fetch_lists(name, mirror))
    }

    fn fetch_lists(&self, name: &str, mirror: &Mirror) -> Result<Suite> {
        report::progress(format!("fetching the package list of Debian {name}"));
        // Two xtasks may be at it.
        let folder = Scratch::new(self.folder.join(format!("{name}-{}", std::process::id())))?;
        let suite = Suite { folder };
        suite.fetch_lists(&sources::stanza(mirror, name))?;
        Ok(suite)
    }
}

/// The first of the candidates that the mirror really has; else the last refusal.
fn download_first(
    candidates: Vec<(&Suite, Candidate)>,
    folder: &Path,
) -> Option<Result<(Candidate, PathBuf)>> {
    let mut refusal = None;
    for (suite, candidate) in candidates.into_iter().take(TRIES) {
        match suite.download(&candidate, folder) {
            Ok(file) => return Some(Ok((candidate, file))),
            Err(error) => refusal = Some(Err(error)),
        }
    }
    refusal
}

/// One suite with its private configuration and lists. They are large and seldom needed, so
/// they go with it.
#[derive(Debug)]
struct Suite {
    folder: Scratch,
}

impl Suite {
    fn candidates(&self, prefix: &str) -> Result<Vec<Candidate>> {
        let names = process::read(self.apt("apt-cache").args(["pkgnames", prefix]))?;
        if names.trim().is_empty() {
            return Ok(Vec::new());
        }
        let table = process::read(self.apt("apt-cache").arg("madison").args(names.lines()))?;
        Ok(parse_madison(&table))
    }

    fn download(&self, candidate: &Candidate, folder: &Path) -> Result<PathBuf> {
        let Candidate { package, version } = candidate;
        fs::create_dir_all(folder)?;
        let mut apt = self.apt("apt-get");
        apt.current_dir(folder).args(["download", "-qq", &format!("{package}={version}")]);
        process::run_quietly(&mut apt)?;
        let mut files = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        let name = format!("{package}_");
        let is_it = |file: &PathBuf| file.file_name().is_some_and(|f| f.to_string_lossy().starts_with(&name));
        files.find(is_it).with_context(|| format!("apt-get left no file of {package}"))
    }

    fn fetch_lists(&self, stanza: &str) -> Result<()> {
        fs::create_dir_all(self.folder.join("lists/partial"))?;
        fs::create_dir_all(self.folder.join("cache/archives/partial"))?;
        fs::write(self.list(), stanza)?;
        fs::write(self.configuration_file(), self.configuration())?;
        process::run_quietly(self.apt("apt-get").args(["update", "-qq"]))
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.configuration_file());
        command
    }

    /// Added to the machine's own configuration, whose proxies and the like stay in force.
    fn configuration(&self) -> String {
        let folder = self.folder.display();
        let list = self.list();
        let list = list.display();
        format!(
            r#"Dir::Etc::sourcelist "{list}";
Dir::Etc::sourceparts "-";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
// The cache folder belongs to the user, not to apt's own.
APT::Sandbox::User "root";
// The lists of old releases outlive their stated end; their signatures are still checked.
Acquire::Check-Valid-Until "false";
Acquire::http::Timeout "30";
APT::Update::Error-Mode "any";
// Only the packages' index, and none of what the system does after its own updates.
Acquire::Languages "none";
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::CNF;
#clear Acquire::IndexTargets::deb::Contents-deb;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#
        )
    }

    fn configuration_file(&self) -> PathBuf {
        self.folder.join("apt.conf")
    }

    fn list(&self) -> PathBuf {
        self.folder.join("suite.sources")
    }
}

/// Unpack a package's files into a folder.
pub fn unpack(deb: &Path, folder: &Path) -> Result<()> {
    process::run_quietly(Command::new("dpkg-deb").arg("-x").arg(deb).arg(folder))
}

/// `package | version | source` lines, with the sources left out.
fn parse_madison(table: &str) -> Vec<Candidate> {
    let parse = |line: &str| {
        let mut cells = line.split('|').map(str::trim);
        let candidate = Candidate { package: cells.next()?.to_owned(), version: cells.next()?.to_owned() };
        (!cells.next()?.ends_with("Sources")).then_some(candidate)
    };
    table.lines().filter_map(parse).collect()
}

/// The text of the machine's lists of sources, whatever their format.
pub fn system_configuration() -> String {
    system_files().iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect()
}

/// What the machine's apt is configured with; unreadable files count as empty.
fn system_entries() -> Vec<Entry> {
    system_files().iter().flat_map(|file| entries_of(file)).collect()
}

fn system_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(SYSTEM_LISTS).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.insert(0, PathBuf::from(SYSTEM_LIST));
    files
}

fn entries_of(file: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(file).unwrap_or_default();
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("list") => sources::parse_list(&text),
        Some("sources") => sources::parse_deb822(&text),
        _ => Vec::new(),
    }
}

/// Install packages on this machine, as root.
pub fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let Some(root) = process::Root::find() else {
        bail!("as root, type `apt-get install --no-install-recommends {names}`");
    };
    let apt = |args: &[&str]| {
        let mut command = root.command("env");
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).args(args);
        process::run_quietly(&mut command)
    };
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    // A machine that never fetched its lists, or whose lists are stale, cannot install yet.
    apt(&install).or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn madison_rows_become_candidates() {
        let table = "\
 rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://m.example/debian trixie-backports/main amd64 Packages
    rustc | 1.95.0+dfsg1-2~bpo13+1 | http://m.example/debian trixie-backports/main Sources
";
        let candidates = parse_madison(table);
        assert_eq!(candidates.len(), 1);
        assert_eq!(candidates[0].package, "rust-src");
        assert_eq!(candidates[0].version, "1.95.0+dfsg1-2~bpo13+1");
    }
}
