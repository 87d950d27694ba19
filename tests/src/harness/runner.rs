//! Runs the tests, one at a time, each in a process of its own that cannot harm the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsString,
    fs,
    io::{self, Write as _},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use super::{
    Context, Result, Run, Skip, Test, VM_VARIABLE, bail, bpf, by_machine, hidden::Hidden, lines::Lines, sys,
    tracefs,
};
use crate::{standard, suites};

/// The argument that makes this program run one test.
pub const ONE: &str = "one";

/// The name of the test that all others are part of.
const LEAVE_NOTHING: &str = "all::leave_no_program_loaded";

/// How often a test may run for nothing.
const MOST_VOID: usize = 2;

/// The exit code of a test that was skipped.
const SKIPPED: u8 = 77;

const USAGE: &str = "usage: tracer-tests [--filter TEXT] [--vm] [--list]";

#[derive(Default)]
struct Options {
    filters: Vec<String>,
    list: bool,
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// All tests: (name, what to run, whether root must run it).
fn all() -> impl Iterator<Item = (String, Run, bool)> {
    suites().flat_map(|suite| {
        let own = suite.tests.iter().map(|&Test { name, run, root }| {
            let run: Run = Box::new(run);
            (format!("{}::{name}", suite.name), run, root)
        });
        let checks = suite.standard.iter().flat_map(move |standard| {
            standard::checks(standard).map(move |(name, run)| (format!("{}::{name}", suite.name), run, true))
        });
        checks.chain(own)
    })
}

/// The runner.
pub fn main(args: &[OsString]) -> ExitCode {
    sys::default_signals();
    let result = options(args).and_then(|options| match options.list {
        true => list(&options).map(|()| true),
        false => run_all(&options),
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tracer-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn options(args: &[OsString]) -> Result<Options> {
    let mut options = Options::default();
    let mut args = args.iter().map(|arg| arg.to_str().context(USAGE));
    while let Some(arg) = args.next() {
        match arg? {
            "--filter" => options.filters.push(args.next().context(USAGE)??.to_owned()),
            "--list" => options.list = true,
            // SAFETY: no other thread runs yet.
            "--vm" => unsafe { env::set_var(VM_VARIABLE, "1") },
            _ => bail!(USAGE),
        }
    }
    Ok(options)
}

impl Options {
    fn choose(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }
}

fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn list(options: &Options) -> Result<()> {
    let mut names = all().map(|(name, ..)| name).filter(|name| options.choose(name));
    names.try_for_each(|name| say(&format!("{name}\n")))
}

/// Runs what was chosen; false if a test failed.
fn run_all(options: &Options) -> Result<bool> {
    super::tool::path()?;
    sys::adopt_orphans();
    tracefs::provide()?;
    let mut tally = Tally::default();
    let mut programs = Programs::now();
    let mut hidden = Hidden::watch();
    for (name, _, root) in all().filter(|(name, ..)| options.choose(name)) {
        say(&format!("test {name} ... "))?;
        let start = Instant::now();
        let outcome = match root && !sys::is_root() {
            true => Outcome::Skipped("only root can run it".to_owned()),
            false => run_told(&name, hidden.as_mut())?,
        };
        say(&tally.count(&outcome, start.elapsed()))?;
        programs.are_there_after(&name);
    }
    if sys::is_root() {
        say(&format!("test {LEAVE_NOTHING} ... "))?;
        let start = Instant::now();
        let outcome = programs.leftovers()?;
        say(&tally.count(&outcome, start.elapsed()))?;
    }
    let Tally { passed, failed, skipped } = tally;
    say(&format!("{passed} passed, {failed} failed, {skipped} skipped\n"))?;
    Ok(failed == 0)
}

/// The BPF programs that came up during the run. The kernel frees programs a quarter of a second
/// after their last user is gone, so nobody waits for that before the end of the run.
struct Programs {
    before: BTreeSet<u32>,
    first_seen: BTreeMap<u32, String>,
}

impl Programs {
    fn now() -> Self {
        Self { before: bpf::programs(), first_seen: BTreeMap::new() }
    }

    fn are_there_after(&mut self, test: &str) {
        for id in bpf::programs().difference(&self.before) {
            self.first_seen.entry(*id).or_insert_with(|| test.to_owned());
        }
    }

    fn leftovers(&self) -> Result<Outcome> {
        let left = bpf::left_since(&self.before)?;
        let tests: BTreeSet<_> = left.iter().filter_map(|id| self.first_seen.get(id)).collect();
        Ok(match left.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed(format!("programs {left:?} are left by {tests:?}")),
        })
    }
}

impl Tally {
    /// Counts an outcome, and returns what to print of it.
    fn count(&mut self, outcome: &Outcome, took: Duration) -> String {
        match outcome {
            Outcome::Passed => {
                self.passed += 1;
                format!("ok ({} ms)\n", took.as_millis())
            }
            Outcome::Failed(reason) => {
                self.failed += 1;
                let indented = reason.trim_end().replace('\n', "\n    ");
                format!("FAILED ({} ms)\n    {indented}\n", took.as_millis())
            }
            Outcome::Skipped(reason) => {
                self.skipped += 1;
                format!("skipped: {}\n", reason.trim_end().replace('\n', "; "))
            }
        }
    }
}

/// Runs a test, again if it failed and the kernel hid from it what it may have looked for.
fn run_told(name: &str, hidden: Option<&mut Hidden>) -> Result<Outcome> {
    let Some(hidden) = hidden else { return run_apart(name) };
    for _ in 0..MOST_VOID {
        hidden.begin()?;
        let outcome = run_apart(name)?;
        let Outcome::Failed(reason) = &outcome else { return Ok(outcome) };
        let events = hidden.count();
        if events == 0 {
            return Ok(outcome);
        }
        say(&format!(
            "void, as this kernel hid {events} events from BPF programs: {}; again ... ",
            reason.trim_end()
        ))?;
    }
    run_apart(name)
}

/// Runs a test in its own process, and sees to it that nothing of it is left.
fn run_apart(name: &str) -> Result<Outcome> {
    let wall = Duration::from_secs(by_machine(120, 600));
    let mut child = Command::new(env::current_exe()?)
        .args([ONE, name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = Lines::read(child.stdout.take().context("no stdout")?);
    let cried = Lines::read(child.stderr.take().context("no stderr")?);
    let in_time = sys::ended(child.id(), Instant::now() + wall)?;
    if !in_time {
        child.kill()?;
    }
    let status = child.wait()?;
    end_descendants()?;
    let text = [said.rest()?, cried.rest()?].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(match status.code() {
        _ if !in_time => Outcome::Failed(format!("not done after {} s\n{text}", wall.as_secs())),
        Some(0) => Outcome::Passed,
        Some(code) if code == i32::from(SKIPPED) => Outcome::Skipped(text),
        _ => Outcome::Failed(format!("{text}({status})")),
    })
}

/// Ends the processes that a test has left, which are this process's children by now.
fn end_descendants() -> Result<()> {
    loop {
        while sys::reap().is_some() {}
        let children = children()?;
        if children.is_empty() {
            return Ok(());
        }
        for child in children {
            // One that has ended meanwhile is as good.
            let _ = sys::kill(child, libc::SIGKILL);
            let _ = sys::ended(child, super::deadline());
        }
    }
}

fn children() -> Result<Vec<u32>> {
    let this = sys::pid().to_string();
    let parent = |pid: &u32| {
        let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name stands in brackets and can hold anything.
        let end = stat.iter().rposition(|byte| *byte == b')').unwrap_or(0);
        let rest = String::from_utf8_lossy(&stat[end..]).into_owned();
        rest.split_whitespace().nth(2) == Some(&this)
    };
    let pids = fs::read_dir("/proc")?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter(parent).collect())
}

/// Runs one test in this process.
pub fn one(args: &[OsString]) -> ExitCode {
    let name = args.first().and_then(|name| name.to_str()).unwrap_or("");
    let Some((_, run, _)) = all().find(|(known, ..)| known == name) else {
        eprintln!("tracer-tests: there is no test {name}");
        return ExitCode::from(2);
    };
    let Err(error) = run() else {
        return ExitCode::SUCCESS;
    };
    // Where nobody listens, the exit code is left.
    let _ = say(&format!("{error:#}\n"));
    match error.is::<Skip>() {
        true => ExitCode::from(SKIPPED),
        false => ExitCode::FAILURE,
    }
}
