//! The command after `--`: it is started at once, but waits before its first instruction until
//! everything is attached.

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
    thread,
};

use anyhow::Context;
use tokio::sync::oneshot;

use crate::error::Failure;

/// A command that was forked and not yet let go.
pub struct Child {
    name: String,
    pid: u32,
    go: PipeWriter,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
}

impl Child {
    /// Forks. The child holds before exec(2).
    ///
    /// # Errors
    /// If there can be no new process.
    pub fn hold(command: &[OsString], as_user: bool) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("no command")?;
        let name = program.to_string_lossy().into_owned();
        let (mut pid_reader, pid_writer) = io::pipe().context("pipe")?;
        let (go_reader, go) = io::pipe().context("pipe")?;
        let mut command = Command::new(find(program));
        command.arg0(program).args(arguments);
        if as_user {
            become_invoker(&mut command)?;
        }
        hold_before_exec(&mut command, &pid_writer, &go_reader, &go);
        let (sender, ended) = oneshot::channel();
        // spawn() returns only after exec, so it waits on a thread of its own.
        thread::spawn(move || {
            let spawned = command.spawn();
            drop((pid_writer, go_reader));
            // Nobody listens any more if the run has ended for another reason.
            let _ = sender.send(spawned.and_then(|mut child| child.wait()));
        });
        let mut pid = [0; 4];
        pid_reader.read_exact(&mut pid).context("starting the command failed")?;
        Ok(Self { name, pid: u32::from_ne_bytes(pid), go, ended })
    }

    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets the command start.
    ///
    /// # Errors
    /// If it has died meanwhile.
    pub fn go(mut self) -> io::Result<Running> {
        self.go.write_all(&[1])?;
        Ok(Running { name: self.name, pid: self.pid, ended: self.ended })
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
fn hold_before_exec(command: &mut Command, pid_writer: &PipeWriter, go_reader: &PipeReader, go: &PipeWriter) {
    let (pid_fd, go_fd, our_end) = (pid_writer.as_raw_fd(), go_reader.as_raw_fd(), go.as_raw_fd());
    // SAFETY: between fork and exec only async-signal-safe calls on open descriptors and local
    // memory are made.
    unsafe {
        command.pre_exec(move || {
            let pid = libc::getpid().to_ne_bytes();
            // Our copy of the writing end would keep the pipe open if tracer died.
            libc::close(our_end);
            if libc::write(pid_fd, pid.as_ptr().cast(), pid.len()) < 0 {
                return Err(io::Error::last_os_error());
            }
            let mut byte = 0u8;
            loop {
                match libc::read(go_fd, (&raw mut byte).cast(), 1) {
                    1 => return Ok(()),
                    0 => libc::_exit(125),
                    _ if *libc::__errno_location() == libc::EINTR => {}
                    _ => return Err(io::Error::last_os_error()),
                }
            }
        });
    }
}

/// Runs the command as the user who called sudo.
fn become_invoker(command: &mut Command) -> anyhow::Result<()> {
    let id = |name: &str| std::env::var(name).ok().and_then(|id| id.parse::<u32>().ok());
    let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID")) else {
        return Err(
            Failure::Usage("--as-user: tracer was not started by sudo (no SUDO_UID)".to_owned()).into()
        );
    };
    command.uid(uid).gid(gid);
    Ok(())
}

/// A command that runs.
pub struct Running {
    name: String,
    pid: u32,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
}

impl Running {
    /// Waits for the command's end and gives its exit code as a shell would: 128 + N for signal N.
    ///
    /// # Errors
    /// [`Failure::Command`] with env(1)'s codes if it could not be executed.
    pub async fn ended(&mut self) -> Result<u8, Failure> {
        let failed = |message: String, code| Failure::Command { message, code };
        match (&mut self.ended).await {
            Ok(Ok(status)) => Ok(exit_code(status)),
            Ok(Err(error)) => {
                let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
                Err(failed(format!("{}: {error}", self.name), code))
            }
            Err(_) => Err(failed("the command was lost".to_owned(), 125)),
        }
    }

    /// Passes a signal on.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill has no memory effects; the child is not reaped while `ended` is pending.
        unsafe { libc::kill(self.pid as i32, signal) };
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    (code & 0xff) as u8
}
