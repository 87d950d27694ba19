//! Running tools and workloads, and looking at what they use.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{fs::chroot, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    contender::{Contender, Program},
    load::{Kind, monotonic_ns},
    world::World,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// A tool that has had what it attaches for so long has all.
const SETTLED: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(5);

/// Where a tool's rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    File,
    /// A pipe whose reader counts rows.
    Pipe,
}

/// A running tool.
pub struct Tool {
    child: Child,
    program: Program,
    /// When it was started, by CLOCK_MONOTONIC.
    pub started_ns: u64,
    rows: PathBuf,
    words: PathBuf,
    counter: Option<thread::JoinHandle<(u64, u64)>>,
}

/// What a tool has printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Printed {
    /// Lines that hold the mark asked for.
    pub rows: u64,
    pub bytes: u64,
    /// What it said it lost.
    pub lost: u64,
    /// The most memory it has had, in bytes, as far as it was seen.
    pub peak: u64,
}

impl Tool {
    /// Starts a contender; its attachment is for [`Tool::wait_attached`].
    pub fn start(
        world: &World,
        contender: &Contender,
        extra: &[String],
        pid: u32,
        sink: Sink,
        mark: &'static str,
    ) -> Result<Self> {
        let (rows, words) = (world.file("rows"), world.file("words"));
        let mut command = command(world, contender, pid)?;
        command.args(extra);
        let (rows_file, words_file) = (File::create(&rows)?, File::create(&words)?);
        let piped = sink == Sink::Pipe && !contender.on_stderr;
        let stdout = if piped { Stdio::piped() } else { rows_file.try_clone()?.into() };
        if contender.on_stderr {
            command.stdout(words_file).stderr(rows_file);
        } else {
            command.stdout(stdout).stderr(words_file);
        }
        let started_ns = monotonic_ns();
        let mut child = command.stdin(Stdio::null()).spawn().with_context(|| contender.label.to_owned())?;
        let counter = child.stdout.take().map(|pipe| thread::spawn(move || count(pipe, mark)));
        Ok(Self { child, program: contender.program, started_ns, rows, words, counter })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until everything is attached. A peer does not say so: it is when what it holds of the
    /// kernel's stays the same.
    pub fn wait_attached(&mut self, load: u32) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let mut last = (0, Instant::now());
        loop {
            ensure!(self.child.try_wait()?.is_none(), "it ended: {}", self.last_words());
            ensure!(Instant::now() < end, "it attached nothing: {}", self.last_words());
            if self.program == Program::Floor && fs::metadata(&self.rows)?.len() > 0 {
                return Ok(());
            }
            let held = held(self.id()) + usize::from(is_traced(load));
            if held != last.0 {
                last = (held, Instant::now());
            } else if held > 0 && last.1.elapsed() > SETTLED {
                return Ok(());
            }
            thread::sleep(POLL);
        }
    }

    /// The first bytes it printed that hold a mark, as soon as they are there.
    pub fn wait_for(&mut self, mark: &str) -> Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut text = vec![0; 64 << 10];
            let len = File::open(&self.rows)?.read(&mut text)?;
            let text = String::from_utf8_lossy(&text[..len]);
            if let Some(line) = text.lines().find(|line| line.contains(mark)) {
                return Ok(line.to_owned());
            }
            ensure!(self.child.try_wait()?.is_none(), "it ended: {}", self.last_words());
            ensure!(Instant::now() < end, "no row of it holds {mark}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Nanoseconds of CPU so far, of all its threads.
    pub fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).into_iter().flatten().flatten();
        let of = |task: fs::DirEntry| -> Option<u64> {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        tasks.filter_map(of).sum()
    }

    /// The most memory it has had, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) << 10
    }

    /// The memory of its maps and programs in the kernel, in bytes: of all, of the ring buffers, and what
    /// each further CPU adds.
    pub fn kernel_bytes(&self) -> KernelBytes {
        kernel_bytes(self.id())
    }

    /// Ends it as Ctrl-C does, and reads what it left.
    pub fn stop(mut self, mark: &str) -> Result<Printed> {
        // SAFETY: no memory is involved, and the child is not reaped yet.
        unsafe { libc::kill(self.id() as i32, libc::SIGINT) };
        let end = Instant::now() + PATIENCE;
        let mut peak = 0;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end || self.program == Program::Floor {
                self.child.kill()?;
            }
            peak = self.peak_bytes().max(peak);
            thread::sleep(POLL);
        }
        let (rows, bytes) = match self.counter.take() {
            Some(counter) => counter.join().ok().context("the pipe's reader")?,
            None => count(File::open(&self.rows)?, mark),
        };
        let words = [fs::read(&self.words)?, tail(&self.rows)?].concat();
        Ok(Printed { rows, bytes, lost: lost(&String::from_utf8_lossy(&words)), peak })
    }

    fn last_words(&self) -> String {
        let text = [fs::read(&self.words), tail(&self.rows)].map(Result::unwrap_or_default).concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.iter().rev().find(|line| !line.starts_with(' ')).copied().unwrap_or("no word");
        last.chars().take(160).collect()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(world: &World, contender: &Contender, pid: u32) -> Result<Command> {
    let words = contender.words.iter().map(|word| word.replace("{pid}", &pid.to_string()));
    Ok(match contender.program {
        Program::Tracer => {
            let mut command = Command::new(&world.tracer);
            command.args(words);
            command
        }
        Program::Floor => {
            let mut command = Command::new(&world.this);
            command.arg("floor").arg(&world.floors).args(words);
            command
        }
        Program::Peer => {
            let root = world.root.clone().context("no root with peers")?;
            let mut words = words;
            let mut command = Command::new(words.next().context("no program")?);
            command.args(words).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
            // SAFETY: two system calls; the path was made before the fork.
            unsafe { command.pre_exec(move || chroot(&root).and_then(|()| std::env::set_current_dir("/"))) };
            command
        }
    })
}

/// What a process holds of perf events, links and programs.
fn held(pid: u32) -> usize {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let is_hook = |fd: &fs::DirEntry| {
        let target = fs::read_link(fd.path()).unwrap_or_default();
        let name = target.to_string_lossy().into_owned();
        ["perf_event", "bpf_link", "bpf-link", "bpf-raw-tracepoint", "bpf-prog"]
            .iter()
            .any(|hook| name.contains(hook))
    };
    fds.filter(is_hook).count()
}

/// Whether a process is under ptrace(2).
fn is_traced(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
}

#[derive(Clone, Copy, Debug, Default)]
pub struct KernelBytes {
    pub all: u64,
    pub ring: u64,
    pub per_cpu: u64,
}

const RING_BUFFER: u64 = 27;
/// Per-CPU hash, array, LRU hash and cgroup storage.
const PER_CPU: [u64; 4] = [5, 6, 10, 21];

fn kernel_bytes(pid: u32) -> KernelBytes {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let mut seen = std::collections::HashSet::new();
    let mut bytes = KernelBytes::default();
    for info in infos {
        let text = fs::read_to_string(info.path()).unwrap_or_default();
        let field = |name: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
        };
        let (id, kind) = (field("map_id").or(field("prog_id")), field("map_type"));
        let (Some(id), Some(memory)) = (id, field("memlock")) else { continue };
        if !seen.insert((kind.is_some(), id)) {
            continue;
        }
        bytes.all += memory;
        if kind == Some(RING_BUFFER) {
            bytes.ring += memory;
        }
        if kind.is_some_and(|kind| PER_CPU.contains(&kind)) {
            bytes.per_cpu += memory / cpus();
        }
    }
    bytes
}

/// CPUs that could ever be online: the width of per-CPU values.
pub fn cpus() -> u64 {
    let list = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    list.trim().rsplit([',', '-']).next().and_then(|last| last.parse().ok()).map_or(1, |last: u64| last + 1)
}

/// Lines that hold the mark, and bytes.
fn count(text: impl Read, mark: &str) -> (u64, u64) {
    let mut reader = BufReader::with_capacity(1 << 20, text);
    let (mut rows, mut bytes, mut line) = (0, 0, Vec::new());
    let mark = mark.as_bytes();
    while let Ok(len @ 1..) = reader.read_until(b'\n', &mut line) {
        bytes += len as u64;
        rows += u64::from(mark.is_empty() || line.windows(mark.len()).any(|part| part == mark));
        line.clear();
    }
    (rows, bytes)
}

fn tail(file: &Path) -> io::Result<Vec<u8>> {
    const MOST: usize = 4096;
    let text = fs::read(file)?;
    Ok(text[text.len().saturating_sub(MOST)..].to_vec())
}

/// The sum of what follows the word "lost", whoever says it.
fn lost(words: &str) -> u64 {
    let words = words.to_lowercase();
    let numbers = words.split("lost").skip(1).filter_map(|rest| {
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    });
    numbers.sum()
}

/// A workload that waits.
pub struct Load {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Load {
    pub fn start(world: &World, kind: Kind, operations: u64, argument: &str) -> Result<Self> {
        let mut child = Command::new(&world.this)
            .args(["load", &kind.word(), &operations.to_string(), argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        let mut load = Self { child, stdin, stdout: BufReader::new(stdout) };
        load.line()?;
        Ok(load)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn go(&mut self) -> Result<()> {
        Ok(self.stdin.write_all(b"\n")?)
    }

    /// Lets it work; the nanoseconds that it took.
    pub fn finish(mut self) -> Result<f64> {
        self.go()?;
        let line = self.line()?;
        Ok(line.trim().parse::<u64>()? as f64)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            bail!("the workload failed");
        }
        Ok(line)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_whoever_speaks_of_them() {
        assert_eq!(lost("tracer: lost 12 events: a larger --buffer\ntracer: lost 3 events"), 15);
        assert_eq!(lost("WARNING: Lost 7 events"), 7);
        assert_eq!(lost("nothing was lost"), 0);
    }

    #[test]
    fn rows_with_the_mark_are_counted() {
        assert_eq!(count(&b"a mark\nno\nmark\n"[..], "mark"), (2, 15));
        assert_eq!(count(&b"a\nb\n"[..], ""), (2, 4));
    }
}
