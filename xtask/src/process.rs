//! Running other programs: loudly, quietly, for their output, within a time, as root.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How much of a failed program's stderr is shown.
const STDERR_LINES: usize = 20;
const POLL: Duration = Duration::from_millis(20);

/// Run with the output shown; an exit status other than 0 is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    check(command, status, "")
}

/// Run without output; when it fails, the end of its stderr is in the error.
pub fn run_quietly(command: &mut Command) -> Result<()> {
    read(command).map(drop)
}

/// Run and return stdout.
pub fn read(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    check(command, output.status, &String::from_utf8_lossy(&output.stderr))?;
    String::from_utf8(output.stdout).with_context(|| format!("{} printed no text", name(command)))
}

/// Run and return stdout as it is.
pub fn read_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = output(command)?;
    check(command, output.status, &String::from_utf8_lossy(&output.stderr))?;
    Ok(output.stdout)
}

/// Run with stdout handed over line by line; returns whether the exit status was 0.
pub fn follow(command: &mut Command, mut each_line: impl FnMut(&str)) -> Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| cannot_start(command))?;
    let stdout = child.stdout.take().context("stdout was not piped")?;
    for line in BufReader::new(stdout).split(b'\n') {
        each_line(&String::from_utf8_lossy(&line?));
    }
    Ok(child.wait()?.success())
}

/// Whether a program runs and exits with 0, with its output thrown away.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Like [`succeeds`], but a program that takes longer than `limit` is killed and has failed.
pub fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().is_ok_and(|mut child| {
        wait_within(&mut child, limit).is_ok_and(|status| status.is_some_and(|s| s.success()))
    })
}

/// Wait for a child, at most for `limit`; past that it is killed and `None` returned.
pub fn wait_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Where a program is, in PATH or in the folders of system programs that a user's PATH may lack.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// How this user can run a program as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// We are root.
    Already,
    /// sudo asks nothing.
    Sudo,
    /// sudo may ask for a password, on this terminal.
    SudoAsks,
}

impl Root {
    /// `None`: this user cannot become root, at least not here.
    pub fn find() -> Option<Self> {
        if is_root() {
            return Some(Self::Already);
        }
        find_program("sudo")?;
        if succeeds(Command::new("sudo").args(["-n", "true"])) {
            return Some(Self::Sudo);
        }
        std::io::stdin().is_terminal().then_some(Self::SudoAsks)
    }

    /// A command that runs `program` as root.
    pub fn command(self, program: impl AsRef<Path>) -> Command {
        if self == Self::Already {
            return Command::new(program.as_ref());
        }
        let mut sudo = Command::new("sudo");
        if self == Self::Sudo {
            sudo.arg("-n");
        }
        sudo.arg("--").arg(program.as_ref());
        sudo
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// The command as a user would type it, with the program's bare name.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| cannot_start(command))
}

fn check(command: &Command, status: ExitStatus, stderr: &str) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let tail = last_lines(stderr, STDERR_LINES);
    bail!("`{}` failed ({status}){}{tail}", shown(command), if tail.is_empty() { "" } else { ":\n" })
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", name(command))
}

fn name(command: &Command) -> String {
    quoted(command.get_program())
}

/// The last lines of a text, without the blanks at its end.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_program_is_killed() {
        let start = Instant::now();
        let limit = Duration::from_millis(50);
        assert!(!succeeds_within(Command::new("sleep").arg("30"), limit));
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn the_error_says_what_was_run_and_what_it_said() {
        let error = read(Command::new("sh").args(["-c", "echo bad luck >&2; exit 3"]));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("sh -c") && text.contains("bad luck"), "{text}");
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/some/bin/tracer");
        command.args(["-d", "5 s", "it's", ""]);
        assert_eq!(shown(&command), r"tracer -d '5 s' 'it'\''s' ''");
    }

    #[test]
    fn last_lines_of_a_short_text_are_the_text() {
        assert_eq!(last_lines("a\nb\n\n", 5), "a\nb");
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }
}
