//! The command after `--`: it is started at once, but waits before its first instruction until
//! everything is attached.
//!
//! It stays in tracer's process group, as the shell made it: so it may read the terminal, Ctrl-Z stops
//! both, and what the terminal signals reaches it without tracer.

use std::{
    ffi::{OsStr, OsString},
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::PermissionsExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::Mutex,
    thread::{self, JoinHandle},
};

use anyhow::Context;
use tokio::sync::oneshot;

use super::signals::{self, Inherited};
use crate::{error::Failure, system::users};

/// A command that was forked and not yet let go.
pub struct Child {
    pid: u32,
    go: PipeWriter,
    ended: oneshot::Receiver<()>,
}

/// Waits for the command's end. One for the process, so that tracer can wait whatever ends the run.
static END: Mutex<Option<JoinHandle<Result<u8, Failure>>>> = Mutex::new(None);

/// The command's exit code as a shell would give it, 128 + N for signal N, once it has ended; `None` if
/// there was no command, or its end was told already.
///
/// # Errors
/// [`Failure::Command`] with env(1)'s codes if it could not be executed.
pub fn end() -> Option<Result<u8, Failure>> {
    let waiting = END.lock().ok()?.take()?;
    let lost = |_| Err(Failure::Command { message: "the command was lost".to_owned(), code: 125 });
    Some(waiting.join().unwrap_or_else(lost))
}

impl Child {
    /// Forks. The child holds before exec(2).
    ///
    /// # Errors
    /// If there can be no new process.
    pub fn hold(command: &[OsString], as_user: bool, inherited: Inherited) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("no command")?;
        let name = program.to_string_lossy().into_owned();
        let (mut pid_reader, pid_writer) = io::pipe().context("pipe")?;
        let (go_reader, go) = io::pipe().context("pipe")?;
        let mut command = Command::new(find(program));
        command.arg0(program).args(arguments);
        let invoker = if as_user { Some(Invoker::find()?) } else { None };
        if let Some(invoker) = &invoker {
            command.envs(invoker.environment());
        }
        hold_before_exec(&mut command, [&pid_writer, &go], &go_reader, inherited, invoker);
        let (tell, ended) = oneshot::channel();
        // spawn() returns only after exec, so it waits on a thread of its own.
        let waiting = thread::spawn(move || {
            let spawned = command.spawn();
            drop((pid_writer, go_reader));
            let status = spawned.and_then(|mut child| child.wait());
            // Nobody listens any more if the run has ended for another reason.
            let _ = tell.send(());
            exit_code(&name, status)
        });
        if let Ok(mut end) = END.lock() {
            *end = Some(waiting);
        }
        let mut pid = [0; 4];
        pid_reader.read_exact(&mut pid).context("starting the command failed")?;
        let pid = u32::from_ne_bytes(pid);
        signals::forward_to(pid);
        Ok(Self { pid, go, ended })
    }

    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets the command start. If a signal has ended it meanwhile, its end will say so.
    pub fn go(mut self) -> Running {
        let _ = self.go.write_all(&[1]);
        Running { ended: self.ended }
    }
}

/// The file that a command's name stands for, looked up here so that the child executes nothing
/// but that; the name itself if there is none, which then fails as it should.
fn find(program: &OsStr) -> PathBuf {
    let name = Path::new(program);
    let is_executable = |path: &PathBuf| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let folders = std::env::var_os("PATH").filter(|_| name.components().count() == 1);
    let found = folders.and_then(|folders| {
        std::env::split_paths(&folders).map(|folder| folder.join(name)).find(is_executable)
    });
    found.unwrap_or_else(|| name.to_owned())
}

/// Makes the child write its pid and then wait for a byte, or for tracer's end.
fn hold_before_exec(
    command: &mut Command,
    our_ends: [&PipeWriter; 2],
    go_reader: &PipeReader,
    inherited: Inherited,
    invoker: Option<Invoker>,
) {
    let [pid_fd, our_end] = our_ends.map(AsRawFd::as_raw_fd);
    let go_fd = go_reader.as_raw_fd();
    let hold = move || {
        inherited.restore();
        let pid = std::process::id().to_ne_bytes();
        // SAFETY: our copy of the writing end, which would keep the pipe open if tracer died.
        unsafe { libc::close(our_end) };
        // SAFETY: writes the bytes of a local array.
        if unsafe { libc::write(pid_fd, pid.as_ptr().cast(), pid.len()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut byte = 0u8;
        loop {
            // SAFETY: reads into a local byte.
            match unsafe { libc::read(go_fd, (&raw mut byte).cast(), 1) } {
                1 => break,
                // SAFETY: ends this process.
                0 => unsafe { libc::_exit(125) },
                _ => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
        invoker.as_ref().map_or(Ok(()), Invoker::become_it)
    };
    // SAFETY: between fork and exec only async-signal-safe calls on open descriptors and memory
    // that was allocated before are made.
    unsafe { command.pre_exec(hold) };
}

/// The user who called sudo.
struct Invoker {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    account: Option<users::Account>,
}

impl Invoker {
    fn find() -> Result<Self, Failure> {
        let id = |name: &str| std::env::var(name).ok().and_then(|id| id.parse::<u32>().ok());
        let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID")) else {
            return Err(Failure::Usage(
                "--as-user: tracer was not started by sudo (no SUDO_UID and SUDO_GID)".to_owned(),
            ));
        };
        let account = users::account(uid);
        let groups = account.as_ref().map_or_else(Vec::new, |account| users::groups(&account.name));
        Ok(Self { uid, gid, groups, account })
    }

    /// What sudo made root's.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let Some(users::Account { name, home, shell }) = self.account.clone() else { return Vec::new() };
        vec![("HOME", home), ("USER", name.clone()), ("LOGNAME", name), ("SHELL", shell)]
    }

    /// Gives up root for good. System calls only.
    fn become_it(&self) -> io::Result<()> {
        let Self { uid, gid, groups, .. } = self;
        // SAFETY: the list is as long as said; the others take numbers.
        let is_done = unsafe {
            libc::setgroups(groups.len(), groups.as_ptr()) == 0
                && libc::setresgid(*gid, *gid, *gid) == 0
                && libc::setresuid(*uid, *uid, *uid) == 0
        };
        if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// A command that runs.
pub struct Running {
    ended: oneshot::Receiver<()>,
}

impl Running {
    /// Waits for the command's end and gives its exit code; after that, for ever.
    ///
    /// # Errors
    /// Those of [`end`].
    pub async fn ended(&mut self) -> Result<u8, Failure> {
        // An error is an end too: of the thread that waits.
        let _ = (&mut self.ended).await;
        match end() {
            Some(end) => end,
            None => std::future::pending().await,
        }
    }
}

fn exit_code(name: &str, status: io::Result<ExitStatus>) -> Result<u8, Failure> {
    match status {
        Ok(status) => {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            Ok((code & 0xff) as u8)
        }
        Err(error) => {
            let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            Err(Failure::Command { message: format!("{name}: {error}"), code })
        }
    }
}
