//! Running `tracer`: started with a ready signal, awaited with a deadline, judged by all it left.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fs::{self, File},
    io::{self, BufRead, BufReader, PipeReader, pipe},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

use super::{Context, Result, Value, bail, deadline, ensure, lines::Lines, sys};

/// The program under test: $TRACER, else the one beside this program.
pub fn path() -> Result<PathBuf> {
    let beside = || env::current_exe().map(|this| this.with_file_name("tracer"));
    let path = env::var_os("TRACER").map_or_else(beside, |path| Ok(path.into()))?;
    ensure!(path.is_file(), "there is no {}: set TRACER", path.display());
    Ok(path.canonicalize()?)
}

/// A run of `tracer` with these arguments.
pub fn tracer(words: &[impl AsRef<OsStr>]) -> Run {
    Run {
        program: None,
        words: words.iter().map(OsString::from).collect(),
        user: None,
        hidden: Vec::new(),
        shown: Vec::new(),
        forbidden: Vec::new(),
        env: Vec::new(),
        unset: Vec::new(),
        stdout: Sink::Collected,
        terminal: None,
    }
}

enum Sink {
    Collected,
    /// A pipe that nobody reads for now.
    Held,
    File(File),
}

/// How to run the tool.
pub struct Run {
    program: Option<PathBuf>,
    words: Vec<OsString>,
    user: Option<u32>,
    hidden: Vec<CString>,
    shown: Vec<(CString, CString)>,
    forbidden: Vec<(libc::c_long, Option<u32>)>,
    env: Vec<(&'static str, OsString)>,
    unset: Vec<&'static str>,
    stdout: Sink,
    terminal: Option<OwnedFd>,
}

impl Run {
    /// By another name.
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// With a further argument.
    pub fn arg(mut self, word: impl Into<OsString>) -> Self {
        self.words.push(word.into());
        self
    }

    pub fn user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    pub fn env(mut self, variable: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((variable, value.into()));
        self
    }

    pub fn unset(mut self, variable: &'static str) -> Self {
        self.unset.push(variable);
        self
    }

    /// In a mount namespace where this directory is empty.
    pub fn without(mut self, directory: &str) -> Self {
        if Path::new(directory).is_dir() {
            self.hidden.push(sys::text(directory));
        }
        self
    }

    /// In a mount namespace where the one directory is seen at the other.
    pub fn with(mut self, from: &str, on: &str) -> Self {
        self.shown.push((sys::text(from), sys::text(on)));
        self
    }

    /// Where a system call, or one command of it, fails with EPERM.
    pub fn forbid(mut self, call: libc::c_long, command: Option<u32>) -> Self {
        self.forbidden.push((call, command));
        self
    }

    /// With a stdout that is not read until [`Tool::release`] or the end.
    pub fn held(mut self) -> Self {
        self.stdout = Sink::Held;
        self
    }

    pub fn stdout(mut self, file: File) -> Self {
        self.stdout = Sink::File(file);
        self
    }

    fn spawn(self) -> Result<Tool> {
        let program = self.program.map_or_else(path, Ok)?;
        let mut command = Command::new(&program);
        command.args(&self.words).stdin(Stdio::null()).stderr(Stdio::piped());
        command.envs(self.env);
        for variable in self.unset {
            command.env_remove(variable);
        }
        let (collect, stdout) = match self.stdout {
            Sink::Collected => (true, Stdio::piped()),
            Sink::Held => (false, Stdio::piped()),
            Sink::File(file) => (false, file.into()),
        };
        command.stdout(stdout);
        let (filter, hidden, shown, user) = (deny(&self.forbidden), self.hidden, self.shown, self.user);
        let terminal = self.terminal;
        let confine = move || {
            if let Some(terminal) = &terminal {
                sys::call(libc::SYS_setsid, &[])
                    .and_then(|_| {
                        sys::call(
                            libc::SYS_ioctl,
                            &[terminal.as_raw_fd() as usize, libc::TIOCSCTTY as usize, 0],
                        )
                    })
                    .map_err(io::Error::from_raw_os_error)?;
            }
            if !hidden.is_empty() || !shown.is_empty() {
                sys::own_mounts()?;
                hidden.iter().try_for_each(sys::mount_tmpfs)?;
                shown.iter().try_for_each(|(from, on)| sys::mount_bind(from, on))?;
            }
            if !filter.is_empty() {
                install(&filter)?;
            }
            user.map_or(Ok(()), sys::set_user)
        };
        // SAFETY: `confine` makes system calls only; it does not allocate.
        unsafe { command.pre_exec(confine) };
        let mut child = command.spawn().with_context(|| program.display().to_string())?;
        let mut held = child.stdout.take();
        let lines = if collect { held.take().map(Lines::read) } else { None };
        let errors = Lines::read(child.stderr.take().context("no stderr")?);
        Ok(Tool { command: describe(&self.words), child, held, lines, errors, seen: Vec::new() })
    }

    /// Runs the tool to its own end.
    pub fn output(self) -> Result<Output> {
        self.spawn()?.end()
    }

    /// Starts the tool in the foreground of a terminal of its own, whose other side is returned.
    pub fn start_in_terminal(mut self) -> Result<(Tool, File)> {
        let us = self.give_terminal()?;
        Ok((self.start()?, us))
    }

    /// The same for a program that is none of tracer's, and says by itself when it is ready.
    pub fn spawn_in_terminal(mut self) -> Result<(Tool, File)> {
        let us = self.give_terminal()?;
        Ok((self.spawn()?, us))
    }

    fn give_terminal(&mut self) -> Result<File> {
        let us = File::options().read(true).write(true).open("/dev/ptmx")?;
        let (mut lock, mut number) = (0_i32, 0_i32);
        for (request, value) in [(libc::TIOCSPTLCK, &mut lock), (libc::TIOCGPTN, &mut number)] {
            sys::call(
                libc::SYS_ioctl,
                &[us.as_raw_fd() as usize, request as usize, std::ptr::from_mut(value) as usize],
            )
            .map_err(io::Error::from_raw_os_error)?;
        }
        // Not by its path: /dev/pts need not be mounted.
        let peer = sys::call(
            libc::SYS_ioctl,
            &[
                us.as_raw_fd() as usize,
                libc::TIOCGPTPEER as usize,
                (libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) as usize,
            ],
        );
        self.terminal = Some(sys::own(peer)?);
        Ok(us)
    }

    /// Starts the tool and waits until everything is attached.
    pub fn start(mut self) -> Result<Tool> {
        let (ready, signal) = pipe()?;
        let fd = sys::own(sys::call(libc::SYS_dup, &[signal.as_raw_fd() as usize]))?;
        drop(signal);
        let number = fd.as_raw_fd().to_string();
        self.words.splice(1..1, ["--ready-fd".into(), number.into()]);
        let tool = self.spawn()?;
        drop(fd);
        tool.wait_ready(ready)
    }
}

fn describe(words: &[OsString]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    format!("tracer {}", words.join(" "))
}

/// A seccomp program under which some system calls fail.
fn deny(forbidden: &[(libc::c_long, Option<u32>)]) -> Vec<libc::sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // Of struct seccomp_data: the number, and the low half of the first argument.
    const NUMBER: u32 = 0;
    const FIRST_ARGUMENT: u32 = 16;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut program = Vec::new();
    for &(call, command) in forbidden {
        program.extend([step(LOAD, 0, NUMBER)]);
        match command {
            None => program.push(step(EQUAL, 1, call as u32)),
            Some(command) => program.extend([
                step(EQUAL, 3, call as u32),
                step(LOAD, 0, FIRST_ARGUMENT),
                step(EQUAL, 1, command),
            ]),
        }
        program.push(step(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    }
    if !program.is_empty() {
        program.push(step(RETURN, 0, libc::SECCOMP_RET_ALLOW));
    }
    program
}

fn install(filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let mode = libc::SECCOMP_SET_MODE_FILTER as usize;
    sys::call(libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0])
        .and_then(|_| sys::call(libc::SYS_seccomp, &[mode, 0, (&raw const program) as usize]))
        .map(drop)
        .map_err(io::Error::from_raw_os_error)
}

/// A running tool.
pub struct Tool {
    command: String,
    child: Child,
    held: Option<ChildStdout>,
    lines: Option<Lines>,
    errors: Lines,
    /// The lines that were awaited so far.
    seen: Vec<Vec<u8>>,
}

impl Tool {
    /// A tool with JSON rows, attached.
    pub fn json(name: &str, args: &[&str]) -> Result<Self> {
        tracer(&[&[name, "--json"], args].concat()).start()
    }

    /// A tool with a table, or what else the arguments say, attached.
    pub fn text(name: &str, args: &[&str]) -> Result<Self> {
        tracer(&[&[name], args].concat()).start()
    }

    fn wait_ready(self, ready: PipeReader) -> Result<Self> {
        let ready = Lines::read(ready);
        let Some(word) = ready.next().with_context(|| format!("{} is not ready", self.command))? else {
            let end = self.end()?;
            bail!("ended before it was ready: {end}");
        };
        ensure!(word == b"ready\n", "{}: the ready signal is {word:?}", self.command);
        let end = ready.next().with_context(|| format!("{} keeps the ready descriptor", self.command))?;
        ensure!(end.is_none(), "{}: the ready signal has a second line", self.command);
        Ok(self)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line of stdout.
    pub fn line(&mut self) -> Result<String> {
        let lines = self.lines.as_ref().context("stdout is not collected")?;
        let line = lines.next().with_context(|| format!("waiting for {}", self.command))?;
        let line = line.with_context(|| format!("{} closed its stdout", self.command))?;
        let text = String::from_utf8(line.clone()).context("stdout is not UTF-8")?;
        self.seen.push(line);
        Ok(text)
    }

    /// Waits for the next row of JSON.
    pub fn row(&mut self) -> Result<Value> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("not JSON: {line:?}"))
    }

    /// Starts to read a stdout that was held.
    pub fn release(&mut self) {
        if let Some(held) = self.held.take() {
            self.lines = Some(Lines::read(held));
        }
    }

    /// Reads one line of a stdout that was held, and closes it.
    pub fn head(&mut self) -> Result<String> {
        let held = self.held.take().context("stdout is not held")?;
        ensure!(sys::readable(&held, deadline())?, "{} prints nothing", self.command);
        let mut line = String::new();
        BufReader::new(held).read_line(&mut line)?;
        Ok(line)
    }

    pub fn signal(&self, signal: libc::c_int) -> Result<()> {
        Ok(sys::kill(self.id(), signal)?)
    }

    /// Ends the tool as Ctrl-C does.
    pub fn interrupt(self) -> Result<Output> {
        self.signal(libc::SIGINT)?;
        self.end()
    }

    /// Waits until the tool has ended by itself.
    pub fn end(mut self) -> Result<Output> {
        self.release();
        let in_time = sys::ended(self.id(), deadline())?;
        if !in_time {
            self.child.kill()?;
        }
        let status = self.child.wait()?;
        let mut stdout = self.seen.concat();
        if let Some(lines) = &self.lines {
            stdout.extend(lines.rest()?);
        }
        let output = Output {
            command: std::mem::take(&mut self.command),
            code: code(status),
            stdout,
            stderr: String::from_utf8_lossy(&self.errors.rest()?).into_owned(),
        };
        ensure!(in_time, "did not end in time and was killed: {output}");
        Ok(output)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An exit status as the shell has it.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// What stack tools say before they name binaries without frame pointers.
pub const STACKS_ARE_CUT: &str = "tracer: stacks are cut where binaries were built without frame pointers: ";

/// What a run has left.
pub struct Output {
    command: String,
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Output {
    /// It ended well, and had nothing to complain of.
    pub fn ok(self) -> Result<Self> {
        ensure!(self.code == 0, "exit code 0 was expected: {self}");
        self.has_no_complaint()?;
        Ok(self)
    }

    /// It had nothing to complain of. That stacks are cut is how programs were built, and no complaint.
    pub fn has_no_complaint(&self) -> Result<()> {
        let is_quiet = self.stderr.lines().all(|line| line.starts_with(STACKS_ARE_CUT));
        ensure!(is_quiet, "no word on stderr was expected: {self}");
        Ok(())
    }

    /// It failed with this code and one line on stderr, which is returned.
    pub fn fails(&self, code: i32) -> Result<&str> {
        ensure!(self.code == code, "exit code {code} was expected: {self}");
        self.one_line()
    }

    /// It failed with one line on stderr, which is returned.
    pub fn one_line(&self) -> Result<&str> {
        ensure!(self.code != 0, "a failure was expected: {self}");
        ensure!(self.stdout.is_empty(), "nothing on stdout was expected: {self}");
        let line = self.stderr.strip_suffix('\n').unwrap_or_default();
        let is_one = !line.trim().is_empty() && !line.contains('\n');
        ensure!(is_one, "one line on stderr was expected: {self}");
        Ok(line)
    }

    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.stdout).with_context(|| format!("stdout: {self}"))
    }

    pub fn lines(&self) -> Result<Vec<&str>> {
        Ok(self.text()?.lines().collect())
    }

    /// The rows of JSON.
    pub fn rows(&self) -> Result<Vec<Value>> {
        super::rows::parse(self.text()?).with_context(|| self.to_string())
    }

    /// The number of lost events that stderr speaks of: each line says what was lost since the last.
    pub fn lost(&self) -> u64 {
        let number = |line: &str| -> Option<u64> {
            let (_, rest) = line.split_once("lost ")?;
            rest.split_whitespace().next()?.parse().ok()
        };
        self.stderr.lines().filter_map(number).sum()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// As much of stderr's end as tells a reader what happened.
        const TAIL: usize = 1500;
        let Self { command, code, stdout, stderr } = self;
        let command: String = command.chars().take(300).collect();
        write!(f, "{command}: exit code {code}, {} bytes of stdout", stdout.len())?;
        let start = stderr.floor_char_boundary(stderr.len().saturating_sub(TAIL));
        match stderr[start..].trim_end() {
            "" => f.write_str(", no stderr"),
            tail => write!(f, ", stderr:\n{tail}"),
        }
    }
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    std::str::from_utf8(path.as_os_str().as_bytes()).unwrap_or("")
}

/// The most memory that a process has had at once, in kilobytes.
pub fn peak_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak")?;
    Ok(peak.split_whitespace().next().context("no number")?.parse()?)
}
