//! Reading apt's configuration: which mirror this machine uses for Debian, and for Debian's
//! security updates. No mirror's name is written in this repository.

/// Debian's releases by name. A word like `stable` would also match other vendors' archives.
const RELEASES: &[&str] = &["buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"];
/// The words that stand for a release, for machines that are set up with them.
const RELEASE_WORDS: &[&str] = &["oldoldstable", "oldstable", "stable", "testing", "unstable"];
/// What may follow a release's name where the same mirror serves it.
const ARCHIVE_SUFFIXES: &[&str] = &["", "-updates", "-backports", "-proposed-updates"];
const SECURITY_SUFFIXES: &[&str] = &["-security", "/updates"];

/// One entry of apt's list of sources.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Entry {
    pub uri: String,
    pub suites: Vec<String>,
    /// A keyring's path, or the key itself; without it apt uses its trusted keys.
    pub signed_by: Option<String>,
}

/// The mirror of one of Debian's archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub uri: String,
    pub signed_by: Option<String>,
}

/// The first mirror that serves Debian's releases.
pub fn archive(entries: &[Entry]) -> Option<Mirror> {
    find(entries, ARCHIVE_SUFFIXES)
}

/// The first mirror that serves their security updates.
pub fn security(entries: &[Entry]) -> Option<Mirror> {
    find(entries, SECURITY_SUFFIXES)
}

fn find(entries: &[Entry], suffixes: &[&str]) -> Option<Mirror> {
    let serving = |releases: &[&str]| {
        entries.iter().find(|entry| entry.suites.iter().any(|s| is_release(s, releases, suffixes)))
    };
    let entry = serving(RELEASES).or_else(|| serving(RELEASE_WORDS))?;
    Some(Mirror { uri: entry.uri.clone(), signed_by: entry.signed_by.clone() })
}

fn is_release(suite: &str, releases: &[&str], suffixes: &[&str]) -> bool {
    let release = |suffix: &&str| suite.strip_suffix(*suffix);
    suffixes.iter().filter_map(release).any(|release| releases.contains(&release))
}

/// Whether an archive of Debian's could be meant: vendors use its release names too, but
/// other components, and a CD is no mirror.
fn may_be_debian<'a>(uri: &str, mut components: impl Iterator<Item = &'a str>) -> bool {
    !uri.starts_with("cdrom:") && components.any(|component| component == "main")
}

/// The entries of a one-line `.list` file: `deb [signed-by=FILE] URI SUITE COMPONENT...`.
pub fn parse_list(text: &str) -> Vec<Entry> {
    text.lines().filter_map(parse_list_line).collect()
}

fn parse_list_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    may_be_debian(uri, words).then(|| Entry {
        uri: uri.to_owned(),
        suites: vec![suite.to_owned()],
        signed_by: options.split_whitespace().find_map(signed_by_option),
    })
}

fn signed_by_option(option: &str) -> Option<String> {
    let (name, value) = option.split_once('=')?;
    name.eq_ignore_ascii_case("signed-by").then(|| value.to_owned())
}

/// The entries of a deb822 `.sources` file, one for each URI.
pub fn parse_deb822(text: &str) -> Vec<Entry> {
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    without_comments
        .split(|line| line.trim().is_empty())
        .flat_map(|stanza| parse_stanza(&fields(stanza)))
        .collect()
}

type Field = (String, String);

/// Fields with the lines that continue them; a line continues a field when it begins with a blank.
fn fields(stanza: &[&str]) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for line in stanza {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    fields
}

fn parse_stanza(fields: &[Field]) -> Vec<Entry> {
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let words = |name: &str| field(name).unwrap_or_default().split_whitespace();
    let enabled = !matches!(field("enabled"), Some("no" | "false" | "0"));
    if !enabled || !words("types").any(|kind| kind == "deb") {
        return Vec::new();
    }
    let suites: Vec<String> = words("suites").map(str::to_owned).collect();
    let signed_by = field("signed-by").map(str::to_owned);
    let entry =
        |uri: &str| Entry { uri: uri.to_owned(), suites: suites.clone(), signed_by: signed_by.clone() };
    words("uris").filter(|uri| may_be_debian(uri, words("components"))).map(entry).collect()
}

/// A deb822 stanza for one suite of a mirror.
pub fn stanza(mirror: &Mirror, suite: &str) -> String {
    let mut text = format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n", mirror.uri);
    if let Some(key) = &mirror.signed_by {
        text += &format!("Signed-By: {key}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: &str = "\
# the distribution
Types: deb deb-src
# a snapshot
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://other.example/
Suites: trixie
Components: main
Enabled: no
";

    #[test]
    fn deb822_gives_both_mirrors() {
        let entries = parse_deb822(SOURCES);
        assert_eq!(entries.len(), 2);
        let archive = archive(&entries).unwrap();
        assert_eq!(archive.uri, "http://mirror.example/debian");
        let key = archive.signed_by.as_deref();
        assert_eq!(key, Some("/usr/share/keyrings/debian-archive-keyring.gpg"));
        assert_eq!(security(&entries).unwrap().uri, "http://mirror.example/security");
    }

    #[test]
    fn a_key_in_the_stanza_is_kept_whole() {
        let text = "Types: deb\nURIs: http://m.example\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN\n .\n mQ\n -----END\n";
        let mirror = archive(&parse_deb822(text)).unwrap();
        assert_eq!(mirror.signed_by.as_deref(), Some("\n -----BEGIN\n .\n mQ\n -----END"));
        assert!(stanza(&mirror, "trixie").ends_with("Signed-By: \n -----BEGIN\n .\n mQ\n -----END\n"));
    }

    #[test]
    fn one_line_entries_with_and_without_options() {
        let text = "\
# deb http://old.example/debian buster main
deb-src http://m.example/debian bookworm main
deb http://packages.example/apt cloud-sdk main
deb http://vendor.example/debian bookworm stable
deb http://browser.example/deb stable main
deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian bookworm main contrib # comment
deb\thttp://s.example/debian-security bullseye/updates main
";
        let entries = parse_list(text);
        assert_eq!(entries.len(), 4);
        let mirror = archive(&entries).unwrap();
        assert_eq!(mirror.uri, "http://m.example/debian");
        assert_eq!(mirror.signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(security(&entries).unwrap().uri, "http://s.example/debian-security");
    }

    #[test]
    fn other_distributions_are_no_debian() {
        assert_eq!(archive(&parse_list("deb http://m.example/ubuntu noble main\n")), None);
    }
}
