//! What a machine's record means: which tests passed, and what else went wrong.

use super::expected::{self, Allowed, Skip};
use super::qemu::{End, Record};
use crate::test::results::{self, Runner};

/// Lines of the guest's init between the parts of the results.
const STATUS: &str = "== exit status ";
const DMESG: &str = "== dmesg";
const END: &str = "== end";

/// What the kernel says when something is wrong with it.
const SPLATS: &[&str] = &[
    "BUG:",
    "WARNING:",
    "Oops",
    "general protection fault",
    "kernel panic",
    "self-detected stall",
    "detected stalls",
    "soft lockup",
    "blocked for more than",
    "UBSAN:",
    "KASAN:",
    "invalid opcode:",
    "scheduling while atomic",
];

#[derive(Debug)]
pub struct Verdict {
    pub runner: Runner,
    /// Whatever makes the run fail besides failed tests.
    pub problems: Vec<String>,
}

impl Verdict {
    pub fn new(series: &str, record: &Record) -> Self {
        let (output, dmesg) = split(&record.results);
        let runner = Runner::parse(output);
        let mut problems = Vec::new();
        match record.end {
            End::PoweredOff => {}
            End::Panicked => problems.push("the kernel panicked".to_owned()),
            End::TimedOut => problems.push("the time limit was reached".to_owned()),
        }
        match (runner.tally, dmesg) {
            (None, _) => problems.push("the test runner did not finish".to_owned()),
            (_, None) => problems.push("the machine ended before its log was written".to_owned()),
            (Some(tally), _) if tally.failed == 0 && !has_succeeded(output) => {
                problems.push("the test runner ended with an error".to_owned());
            }
            _ => {}
        }
        let splats = splats(dmesg.unwrap_or_default(), expected::DMESG);
        problems.extend(splats.map(|line| format!("the kernel said: {line}")));
        let skips = unexpected_skips(series, &runner, expected::SKIPS);
        problems.extend(skips.map(|name| format!("{name} is skipped, and not expected to be")));
        Self { runner, problems }
    }

    /// The tests, with every other problem counted as a failure.
    pub fn tally(&self) -> results::Tally {
        let mut tally = self.runner.tally.unwrap_or_default();
        tally.failed += self.problems.len();
        tally
    }
}

fn has_succeeded(output: &str) -> bool {
    output.lines().any(|line| line.strip_prefix(STATUS) == Some("0"))
}

/// The runner's output, and the log if it was written to its end.
fn split(results: &str) -> (&str, Option<&str>) {
    match results.split_once(DMESG) {
        Some((output, rest)) => (output, rest.split_once(END).map(|(dmesg, _)| dmesg)),
        None => (results, None),
    }
}

fn splats<'a>(dmesg: &'a str, allowed: &'a [Allowed]) -> impl Iterator<Item = &'a str> {
    dmesg
        .lines()
        .filter(|line| SPLATS.iter().any(|splat| line.contains(splat)))
        .filter(|line| !allowed.iter().any(|Allowed { text, .. }| line.contains(text)))
}

fn unexpected_skips<'a>(
    series: &'a str,
    runner: &'a Runner,
    known: &'a [Skip],
) -> impl Iterator<Item = &'a str> {
    let is_expected = move |name: &str| {
        let fits = |skip: &Skip| [series, expected::ANY].contains(&skip.kernel) && skip.test == name;
        known.iter().any(fits)
    };
    runner.skipped().filter(move |name| !is_expected(name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn record(results: &str) -> Record {
        Record {
            end: End::PoweredOff,
            console: String::new(),
            results: results.to_owned(),
            elapsed: Duration::ZERO,
        }
    }

    const GOOD: &str = "test a ... ok\n1 passed, 0 failed, 0 skipped\n== exit status 0\n";

    #[test]
    fn a_whole_record_is_good() {
        let verdict = Verdict::new("6.1", &record(&format!("{GOOD}== dmesg\nfine\n== end\n")));
        assert!(verdict.problems.is_empty(), "{:?}", verdict.problems);
        assert_eq!(verdict.tally().to_string(), "1 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn a_runner_that_ends_badly_has_failed() {
        let bad = GOOD.replace("status 0", "status 139");
        let verdict = Verdict::new("6.1", &record(&format!("{bad}== dmesg\n== end\n")));
        assert_eq!(verdict.tally().failed, 1);
    }

    #[test]
    fn a_splat_a_cut_log_and_a_missing_end_are_bad() {
        let splat = format!("{GOOD}== dmesg\n[ 1.0] WARNING: CPU: 0 at x.c:1\n== end\n");
        assert_eq!(Verdict::new("6.1", &record(&splat)).tally().failed, 1);
        assert_eq!(Verdict::new("6.1", &record(&format!("{GOOD}== dmesg\n"))).tally().failed, 1);
        assert_eq!(Verdict::new("6.1", &record("test a ... ok\n")).tally().failed, 1);
    }

    #[test]
    fn allowed_lines_are_no_splats() {
        let allowed = [Allowed { text: "known thing", reason: "it is harmless" }];
        let dmesg = "WARNING: known thing\nBUG: other thing";
        assert_eq!(splats(dmesg, &allowed).collect::<Vec<_>>(), ["BUG: other thing"]);
    }

    #[test]
    fn skips_must_be_expected_on_their_kernel() {
        let runner =
            Runner::parse("test a ... skipped: no x\ntest b ... skipped: no y\ntest c ... skipped: no z\n");
        let expected = [
            Skip { kernel: "6.1", test: "a", reason: "x came later" },
            Skip { kernel: expected::ANY, test: "c", reason: "z is nowhere" },
        ];
        let unexpected = |series| unexpected_skips(series, &runner, &expected).collect::<Vec<_>>();
        assert_eq!(unexpected("6.1"), ["b"]);
        assert_eq!(unexpected("6.12"), ["a", "b"]);
    }
}
