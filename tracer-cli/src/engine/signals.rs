//! Signals: what ends a run, and what is passed on to the command.

use std::{
    io,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd},
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};

/// What a command is told when tracer is told it. Ctrl-Z needs no help: it stops both.
const FORWARDED: [i32; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// Set by SIGINT and SIGTERM, for writes that hang.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// The command, as a process and as a descriptor that can't come to mean another one.
static COMMAND: AtomicI32 = AtomicI32::new(0);
static COMMAND_FD: AtomicI32 = AtomicI32::new(-1);
/// A signal that came before there was a command.
static EARLY: AtomicI32 = AtomicI32::new(0);

/// Which of [`FORWARDED`] tracer was started to ignore, as nohup and a script's `&` do.
#[derive(Clone, Copy)]
pub struct Inherited([bool; FORWARDED.len()]);

impl Inherited {
    /// Looks, before anything is changed.
    fn look() -> Self {
        Self(FORWARDED.map(|signal| {
            // SAFETY: all zeroes is a valid value of it.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: only asks, and `action` lives until the call returns.
            let is_known = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } == 0;
            is_known && action.sa_sigaction == libc::SIG_IGN
        }))
    }

    /// Puts the signals back to what tracer was started with: for a child. System calls only.
    pub fn restore(self) {
        for (signal, is_ignored) in FORWARDED.into_iter().zip(self.0) {
            let action = if is_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
            // SAFETY: no handler is installed.
            unsafe { libc::signal(signal, action) };
        }
    }
}

/// Watches for signals from now on; with a command, those that are to be passed on to it too.
///
/// # Errors
/// If the kernel refuses.
pub fn watch(with_command: bool) -> io::Result<Inherited> {
    let inherited = Inherited::look();
    for number in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: storing to an atomic is async-signal-safe.
        unsafe { signal_hook_registry::register(number, || STOP.store(true, Ordering::Relaxed)) }?;
    }
    let passed_on = FORWARDED.into_iter().zip(inherited.0).filter(|(_, is_ignored)| !is_ignored);
    for (number, _) in passed_on.filter(|_| with_command) {
        // SAFETY: `pass_on` makes system calls and uses atomics only.
        unsafe { signal_hook_registry::register_sigaction(number, move |info| pass_on(number, info)) }?;
    }
    Ok(inherited)
}

/// Signals are passed on to this child from now on, with one that came too early.
pub fn forward_to(pid: u32) {
    // SAFETY: takes numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
    if fd >= 0 {
        // SAFETY: the kernel has just made this descriptor. It stays open, for signals at any time.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) }.into_raw_fd();
        COMMAND.store(pid as i32, Ordering::Relaxed);
        COMMAND_FD.store(fd, Ordering::SeqCst);
    }
    match EARLY.swap(0, Ordering::SeqCst) {
        0 => {}
        signal => send(fd, signal),
    }
}

/// Sends the command a signal, if there is one that runs.
pub fn tell_command(signal: i32) {
    send(COMMAND_FD.load(Ordering::SeqCst), signal);
}

/// In a signal's handler.
fn pass_on(signal: i32, info: &libc::siginfo_t) {
    let fd = COMMAND_FD.load(Ordering::SeqCst);
    if fd < 0 {
        EARLY.store(signal, Ordering::SeqCst);
    } else if info.si_code != libc::SI_KERNEL || !is_in_our_group() {
        send(fd, signal);
    }
}

/// What comes from the terminal has reached the whole group.
fn is_in_our_group() -> bool {
    // SAFETY: takes numbers.
    unsafe { libc::getpgid(COMMAND.load(Ordering::Relaxed)) == libc::getpgrp() }
}

fn send(fd: i32, signal: i32) {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers; the descriptor is a process's or -1. errno is put back, since this may
    // be in a handler.
    unsafe {
        let errno = *libc::__errno_location();
        libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, no_info, 0);
        *libc::__errno_location() = errno;
    }
}
