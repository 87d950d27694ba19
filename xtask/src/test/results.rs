//! Reading what test runners print, and adding it up.

use std::fmt;
use std::ops::AddAssign;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Tally {
    pub const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    pub const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };

    /// `N passed, N failed, N skipped`, the last line of our own runner.
    fn parse(line: &str) -> Option<Self> {
        let mut counts = line.trim().split(", ").map(|part| part.split_once(' '));
        let mut count = |word: &str| {
            let (number, what) = counts.next()??;
            number.parse().ok().filter(|_| what == word)
        };
        let tally = Self { passed: count("passed")?, failed: count("failed")?, skipped: count("skipped")? };
        counts.next().is_none().then_some(tally)
    }

    /// A `test result:` line, of which `cargo test` prints one for each binary.
    pub fn parse_libtest(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?;
        let count = |word: &str| {
            let part = counts.split(['.', ';']).find_map(|part| part.trim().strip_suffix(word));
            part?.trim().parse().ok()
        };
        Some(Self { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// The output of `tracer-tests`.
#[derive(Debug)]
pub struct Runner {
    lines: Vec<String>,
    /// `None`: it did not come to its end.
    pub tally: Option<Tally>,
}

impl Runner {
    pub fn parse(output: &str) -> Self {
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        let tally = lines.iter().rev().find_map(|line| Tally::parse(line));
        Self { lines, tally }
    }

    /// The names of skipped tests.
    pub fn skipped(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| {
            let (name, _) = line.strip_prefix("test ")?.split_once(" ... skipped")?;
            Some(name)
        })
    }

    /// All that was printed but for good tests and the tally. Of an unfinished run the good
    /// ones too: they tell how far it came.
    pub fn remarks(&self) -> impl Iterator<Item = &str> {
        let is_finished = self.tally.is_some();
        let is_good = |line: &str| line.starts_with("test ") && line.contains(" ... ok");
        let is_frame = |line: &str| line.starts_with("== ") || Tally::parse(line).is_some();
        let is_remark = move |line: &&str| !(is_finished && is_good(line) || is_frame(line));
        self.lines.iter().map(String::as_str).filter(is_remark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_are_read_and_added() {
        let mut sum = Tally::parse("5 passed, 1 failed, 2 skipped").unwrap();
        sum += Tally::parse_libtest(
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.06s",
        )
        .unwrap();
        sum += Tally::SKIPPED;
        assert_eq!(sum.to_string(), "17 passed, 1 failed, 6 skipped");
    }

    #[test]
    fn other_lines_are_no_tallies() {
        for line in ["5 passed", "5 passed, 1 failed", "a passed, 1 failed, 0 skipped", ""] {
            assert_eq!(Tally::parse(line), None, "{line}");
        }
        assert_eq!(Tally::parse("1 passed, 0 failed, 0 skipped, 0 more"), None);
        assert_eq!(Tally::parse_libtest("test result of nothing"), None);
    }

    #[test]
    fn a_runners_output_is_understood() {
        let runner = Runner::parse(
            "test a::x ... ok (12 ms)\ntest b::y ... skipped: no z\ntest c ... FAILED\n  rows differ\n\
             1 passed, 1 failed, 1 skipped\n== exit status 1\n",
        );
        assert_eq!(runner.tally.unwrap().failed, 1);
        assert_eq!(runner.skipped().collect::<Vec<_>>(), ["b::y"]);
        let remarks: Vec<&str> = runner.remarks().collect();
        assert_eq!(remarks, ["test b::y ... skipped: no z", "test c ... FAILED", "  rows differ"]);
        let unfinished = Runner::parse("test a ... ok\n");
        assert!(unfinished.tally.is_none());
        assert_eq!(unfinished.remarks().count(), 1);
    }
}
