//! Workloads: processes that wait at a gate, do a known deed, and give an account of it.
//!
//! A workload is this program run as `tracer-tests workload NAME ARGS...`. It prints a JSON line
//! when it stands at its gate, with what the test must know of the set-up, and waits for a byte on
//! stdin; so the tool can be attached to it before it starts. The account is its last line.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fs, io,
    mem::MaybeUninit,
    ops::Sub,
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    thread,
    time::Instant,
};

use super::{
    Context, Place, Result, Scratch, Value, bail, deadline, ensure, json, lines::Lines, skip, sys, tool,
};
use crate::suites;

/// The argument that makes this program a workload.
pub const WORD: &str = "workload";

/// The user that a workload becomes at its gate.
const USER_VARIABLE: &str = "TRACER_TESTS_USER";

/// The exit code of a workload that has done its deed.
pub const STATUS_VARIABLE: &str = "TRACER_TESTS_STATUS";

/// Makes this program end at once, whatever its arguments: a program to exec.
pub const EXIT_VARIABLE: &str = "TRACER_TESTS_EXIT";

/// An unprivileged user's number.
pub const NOBODY: u32 = 65534;

/// The exit code of a program that is only there to be executed.
pub fn told_exit_code() -> Option<ExitCode> {
    number::<u8>(EXIT_VARIABLE).map(ExitCode::from)
}

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    env::var(variable).ok()?.parse().ok()
}

/// This program, by its real name.
pub fn this_program() -> Result<PathBuf> {
    env::current_exe().context("the tests' own program")
}

/// What stands between a workload's set-up and its deed.
pub struct Gate;

impl Gate {
    /// Tells the test about the set-up, and waits until the tool is attached. Without a test, which
    /// is when the tool runs the workload as its command, stdin is at its end and nobody waits.
    pub fn wait(&mut self, setup: &Value) -> Result<()> {
        tell(setup)?;
        if let Some(user) = number(USER_VARIABLE) {
            sys::set_user(user).context("becoming another user")?;
        }
        let mut byte = [0_u8];
        sys::call(libc::SYS_read, &[0, byte.as_mut_ptr() as usize, 1])
            .map_err(std::io::Error::from_raw_os_error)
            .context("waiting at the gate")?;
        Ok(())
    }

    /// The path that this process was started by, which carries the name the test gave it.
    pub fn program(&self) -> CString {
        let first = env::args_os().next().unwrap_or_default();
        sys::text(first.as_bytes())
    }

    /// The directory of that program: the workload's own, until its test is over.
    pub fn home(&self) -> Result<Place> {
        let program = PathBuf::from(env::args_os().next().unwrap_or_default());
        Ok(Place::new(program.parent().context("no home")?))
    }
}

/// Prints a line, with one system call.
pub fn tell(value: &Value) -> Result<()> {
    let line = format!("{value}\n");
    let (at, len) = (line.as_ptr() as usize, line.len());
    let mut done = 0;
    while done < len {
        done += sys::call(libc::SYS_write, &[1, at + done, len - done])
            .map_err(std::io::Error::from_raw_os_error)
            .context("telling the test")?;
    }
    Ok(())
}

/// Runs a workload: the other side of [`Load`].
pub fn main(args: &[OsString]) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::from(number::<u8>(STATUS_VARIABLE).unwrap_or(0)),
        Err(error) => {
            eprintln!("workload: {error:#}");
            ExitCode::from(99)
        }
    }
}

fn run(args: &[OsString]) -> Result<()> {
    let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let (name, args) = args.split_first().context("no name")?;
    let workload = suites()
        .flat_map(|suite| suite.workloads)
        .find(|workload| workload.name == name)
        .with_context(|| format!("there is no {name}"))?;
    let mut account = (workload.run)(&mut Gate, args)?;
    account["pid"] = sys::pid().into();
    tell(&account)
}

/// How to start a workload.
pub struct Plan {
    words: Vec<OsString>,
    name: Option<Vec<u8>>,
    user: Option<u32>,
    tracer: Option<PathBuf>,
}

impl Plan {
    /// Under a file name, and so a `comm`, of the test's choice.
    pub fn named(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// As another user from the gate on.
    pub fn user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// Knowing the tool, which it is to run itself.
    pub fn with_tracer(mut self) -> Result<Self> {
        self.tracer = Some(tool::path()?);
        Ok(self)
    }

    /// Starts the workload and waits until it stands at its gate.
    pub fn start(self) -> Result<Load> {
        let name = self.name.as_deref().unwrap_or(b"tracer-tests");
        let home = Scratch::new()?;
        let program = home.program(OsStr::from_bytes(name), &this_program()?)?;
        let mut command = Command::new(program);
        command.args(&self.words).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(user) = self.user {
            command.env(USER_VARIABLE, user.to_string());
        }
        if let Some(tracer) = self.tracer {
            command.env("TRACER", tracer);
        }
        let mut child = command.spawn().context("starting the workload")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut load = Load {
            id: child.id(),
            what: format!("{:?}", self.words),
            child,
            gate: stdin,
            lines: Lines::read(stdout.context("no stdout")?),
            setup: Value::Null,
            _home: home,
        };
        load.setup = load.line()?;
        match load.setup["skip"].as_str() {
            Some(reason) => Err(skip(reason)),
            None => Ok(load),
        }
    }
}

/// A workload's process; dropping it ends it.
pub struct Load {
    /// Its process id.
    pub id: u32,
    /// What it told of its set-up.
    pub setup: Value,
    what: String,
    child: Child,
    gate: Option<ChildStdin>,
    lines: Lines,
    /// Holds the program it runs.
    _home: Scratch,
}

impl Load {
    /// A workload by its name and arguments.
    pub fn plan(words: &[&str]) -> Plan {
        let words = [WORD].iter().chain(words).map(OsString::from).collect();
        Plan { words, name: None, user: None, tracer: None }
    }

    pub fn start(words: &[&str]) -> Result<Self> {
        Self::plan(words).start()
    }

    /// Its process id as an argument.
    pub fn pid(&self) -> String {
        self.id.to_string()
    }

    /// Opens the gate.
    pub fn go(&mut self) -> Result<()> {
        use std::io::Write as _;
        let gate = self.gate.as_mut().context("the gate is gone")?;
        gate.write_all(b"!").with_context(|| format!("opening the gate of {}", self.what))
    }

    /// What the workload says next.
    pub fn line(&mut self) -> Result<Value> {
        let line = self.lines.next().with_context(|| self.what.clone())?;
        let Some(line) = line else {
            bail!("{} ended without a word: {}", self.what, self.child.wait()?);
        };
        serde_json::from_slice(&line).with_context(|| self.what.clone())
    }

    /// Opens the gate, and returns the account once the process is gone.
    pub fn finish(&mut self) -> Result<Value> {
        self.go()?;
        self.done()
    }

    /// Returns the account once the process is gone.
    pub fn done(&mut self) -> Result<Value> {
        let account = self.line()?;
        ensure!(sys::ended(self.id, deadline())?, "{} does not end", self.what);
        let status = self.child.wait()?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        ensure!(code == 0, "{}: {status}", self.what);
        Ok(account)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The workload that never does anything.
pub fn idle(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    Ok(json!({}))
}

/// A number among a workload's arguments.
pub fn count(args: &[String]) -> Result<u64> {
    let first = args.first().context("no number")?;
    first.parse().with_context(|| format!("{first:?} is no number"))
}

/// Waits until all other threads of this process sleep.
pub fn until_others_sleep() -> Result<()> {
    let until = deadline();
    let own = sys::tid().to_string();
    while Instant::now() < until {
        let tasks = fs::read_dir("/proc/self/task")?.filter_map(std::io::Result::ok);
        let mut others = tasks.filter(|task| *task.file_name() != *own);
        // As bytes: a thread's name may be no text.
        let stat = |task: fs::DirEntry| fs::read(task.path().join("stat")).unwrap_or_default();
        if others.all(|task| stat(task).windows(4).any(|part| part == b") S ")) {
            return Ok(());
        }
        thread::yield_now();
    }
    bail!("another thread does not sleep")
}

/// How often a thread was switched out.
pub struct Switches {
    /// As it slept. A call that sleeps may do without: its time is up, or what it waits for is there, before it
    /// has left its CPU. That is not rare where a hypervisor takes the CPU away as a timer is programmed.
    pub voluntary: u64,
    /// As others wanted its CPU.
    pub involuntary: u64,
}

impl Switches {
    /// What the kernel counts for this thread.
    pub fn of_thread() -> Result<Self> {
        let mut usage = MaybeUninit::<libc::rusage>::uninit();
        sys::call(libc::SYS_getrusage, &[libc::RUSAGE_THREAD as usize, usage.as_mut_ptr() as usize])
            .map_err(io::Error::from_raw_os_error)?;
        // SAFETY: the kernel has written it.
        let usage = unsafe { usage.assume_init() };
        Ok(Self { voluntary: usage.ru_nvcsw.cast_unsigned(), involuntary: usage.ru_nivcsw.cast_unsigned() })
    }

    pub fn all(&self) -> u64 {
        self.voluntary + self.involuntary
    }
}

impl Sub for Switches {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let Self { voluntary, involuntary } = self;
        Self { voluntary: voluntary - before.voluntary, involuntary: involuntary - before.involuntary }
    }
}

/// The name that the kernel has for this process.
pub fn comm() -> String {
    // Not from /proc: that would be one open more.
    let mut name = [0_u8; 16];
    let _ = sys::call(libc::SYS_prctl, &[libc::PR_GET_NAME as usize, name.as_mut_ptr() as usize]);
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..len]).into_owned()
}
