//! Tracefs: tracepoints' ids, and where their records' fields lie.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Where tracefs is mounted, by custom.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A mounted tracefs that this process may read.
#[derive(Clone, Debug)]
pub struct Tracefs {
    root: PathBuf,
}

/// One field of a tracepoint's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub offset: u32,
    pub size: u32,
}

impl Tracefs {
    /// Finds tracefs.
    #[must_use]
    pub fn find() -> Option<Self> {
        PLACES.iter().map(Path::new).find_map(Self::at)
    }

    /// The tracefs mounted here, if there is one.
    #[must_use]
    pub fn at(root: &Path) -> Option<Self> {
        root.join("events").is_dir().then(|| Self { root: root.to_owned() })
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn event(&self, category: &str, name: &str) -> PathBuf {
        self.root.join("events").join(category).join(name)
    }

    /// The tracepoint's id, if this kernel has it.
    #[must_use]
    pub fn id(&self, category: &str, name: &str) -> Option<u64> {
        fs::read_to_string(self.event(category, name).join("id")).ok()?.trim().parse().ok()
    }

    /// The fields of a tracepoint's record.
    #[must_use]
    pub fn format(&self, category: &str, name: &str) -> Option<HashMap<String, Field>> {
        Some(parse_format(&fs::read_to_string(self.event(category, name).join("format")).ok()?))
    }
}

/// Parses a `format` file, whose lines declare a field and give its offset, size and sign:
/// `field:long ret; offset:16; size:8; signed:1;`. What doesn't look like that is passed over.
#[must_use]
pub fn parse_format(text: &str) -> HashMap<String, Field> {
    text.lines().filter_map(parse_field).collect()
}

fn parse_field(line: &str) -> Option<(String, Field)> {
    let mut parts = line.trim().split(';').map(str::trim);
    let declaration = parts.next()?.strip_prefix("field:")?;
    let number = |part: Option<&str>, key: &str| part?.strip_prefix(key)?.strip_prefix(':')?.parse().ok();
    let offset = number(parts.next(), "offset")?;
    let size = number(parts.next(), "size")?;
    let name = declaration.rsplit([' ', '*']).next()?;
    let name = name.split('[').next().filter(|name| !name.is_empty())?;
    Some((name.to_owned(), Field { offset, size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "name: sys_exit_connect\nID: 1408\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\
        \tfield:long ret;\toffset:16;\tsize:8;\tsigned:1;\n\
        \tfield:char comm[16];\toffset:24;\tsize:16;\tsigned:0;\n\
        \tfield:struct sockaddr * addr;\toffset:40;\tsize:8;\tsigned:0;\n\nprint fmt: \"0x%lx\", REC->ret\n";

    #[test]
    fn a_format_file_gives_offsets_and_sizes() {
        let fields = parse_format(FORMAT);
        assert_eq!(fields["ret"], Field { offset: 16, size: 8 });
        assert_eq!(fields["comm"], Field { offset: 24, size: 16 });
        assert_eq!(fields["addr"], Field { offset: 40, size: 8 });
        assert_eq!(fields.len(), 6);
    }

    #[test]
    fn other_offsets_are_taken_as_they_come() {
        let fields = parse_format(&FORMAT.replace("offset:16", "offset:24"));
        assert_eq!(fields["ret"].offset, 24);
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        for line in [
            "field:",
            "field:long ret;",
            "field:long ret; offset:x; size:8;",
            "field:;offset:1;size:2;",
            "\u{0}",
        ] {
            assert!(parse_format(line).is_empty(), "{line:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            std::hint::black_box(parse_format(&text));
        }
    }
}
