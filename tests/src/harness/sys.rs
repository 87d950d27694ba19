//! System calls, made so that a test knows which one it makes.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::{Duration, Instant, SystemTime},
};

use libc::{c_int, c_long, pid_t};

/// An error's number.
pub type Errno = i32;

/// A system call: its result, or the error's number. Arguments are numbers, or addresses of memory
/// that the caller keeps alive over the call.
pub fn call(number: c_long, args: &[usize]) -> Result<usize, Errno> {
    let mut six = [0; 6];
    six[..args.len()].copy_from_slice(args);
    let [a, b, c, d, e, f] = six;
    // SAFETY: the caller vouches for the memory; the numbers are the kernel's to judge.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(result).map_err(|_| errno())
}

pub fn errno() -> Errno {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The names of the errors that the scenarios provoke.
pub fn errno_name(errno: Errno) -> Option<&'static str> {
    const NAMES: &[(Errno, &str)] = &[
        (libc::ENOENT, "ENOENT"),
        (libc::E2BIG, "E2BIG"),
        (libc::ENOEXEC, "ENOEXEC"),
        (libc::EBADF, "EBADF"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EEXIST, "EEXIST"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
        (libc::ELOOP, "ELOOP"),
        (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::ECANCELED, "ECANCELED"),
    ];
    NAMES.iter().find(|(number, _)| *number == errno).map(|(_, name)| *name)
}

/// A byte string for a system call.
pub fn text(bytes: impl Into<Vec<u8>>) -> CString {
    CString::new(bytes).expect("texts of scenarios hold no NUL")
}

/// The descriptor that a system call returned.
pub fn own(result: Result<usize, Errno>) -> io::Result<OwnedFd> {
    let fd = result.map_err(io::Error::from_raw_os_error)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

pub fn close(fd: usize) -> Result<usize, Errno> {
    call(libc::SYS_close, &[fd])
}

pub fn pid() -> u32 {
    std::process::id()
}

pub fn tid() -> u32 {
    call(libc::SYS_gettid, &[]).unwrap_or(0) as u32
}

pub fn uid() -> u32 {
    call(libc::SYS_getuid, &[]).unwrap_or(0) as u32
}

pub fn is_root() -> bool {
    call(libc::SYS_geteuid, &[]) == Ok(0)
}

/// Becomes another user for good.
pub fn set_user(uid: u32) -> io::Result<()> {
    let ids = [uid as usize; 3];
    call(libc::SYS_setgroups, &[0, 0])
        .and_then(|_| call(libc::SYS_setresgid, &ids))
        .and_then(|_| call(libc::SYS_setresuid, &ids))
        .map_err(io::Error::from_raw_os_error)?;
    Ok(())
}

/// Runs `child` in a new process, which ends with what it returns. For processes of one thread.
pub fn fork(child: impl FnOnce() -> i32) -> io::Result<pid_t> {
    // SAFETY: a workload has one thread when it forks, so the child's memory is consistent.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => exit_now(child()),
        pid => Ok(pid),
    }
}

/// Ends the process without a word to anyone.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Waits for a child, and returns the status as wait(2) has it.
pub fn wait(pid: pid_t) -> io::Result<c_int> {
    let mut status = 0;
    // SAFETY: `status` lives until the call returns.
    match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(status),
    }
}

/// Waits until a child is stopped.
pub fn wait_stopped(pid: pid_t) -> io::Result<()> {
    // SAFETY: no status is asked for.
    match unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WUNTRACED) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes the status of any child that has ended, without waiting.
pub fn reap() -> Option<pid_t> {
    // SAFETY: no status is asked for.
    let pid = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    (pid > 0).then_some(pid)
}

pub fn kill(pid: u32, signal: c_int) -> io::Result<()> {
    call(libc::SYS_kill, &[pid as usize, signal as usize]).map(drop).map_err(io::Error::from_raw_os_error)
}

/// The arguments or the environment of a program, as exec wants them.
pub fn pointers(texts: &[CString]) -> Vec<usize> {
    let ends = texts.iter().map(|text| text.as_ptr() as usize);
    ends.chain([0]).collect()
}

/// Waits until a descriptor can be read, or is at its end; false when time is up.
pub fn readable(fd: &impl AsRawFd, until: Instant) -> io::Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = left.as_millis().min(i32::MAX as u128) as c_int;
        // SAFETY: one entry, which lives until the call returns.
        match unsafe { libc::poll(&raw mut poll, 1, millis) } {
            -1 if errno() == libc::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            ready => return Ok(ready > 0),
        }
    }
}

/// Waits until a process has ended; false when time is up.
pub fn ended(pid: u32, until: Instant) -> io::Result<bool> {
    let pidfd = own(call(libc::SYS_pidfd_open, &[pid as usize, 0]))?;
    readable(&pidfd, until)
}

/// The CPUs that this thread may run on, of which there is one at least.
pub fn cpus() -> io::Result<Vec<usize>> {
    // SAFETY: all zeroes is a valid set of CPUs.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives until the call returns.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is within the set.
    let is_in = |&cpu: &usize| unsafe { libc::CPU_ISSET(cpu, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(is_in).collect())
}

/// Keeps this thread on one CPU.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    // SAFETY: all zeroes is a valid set of CPUs.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is within the set, which lives until the call returns.
    match unsafe {
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts this thread before all others but real-time ones of a higher priority.
pub fn set_real_time(priority: i32) -> io::Result<()> {
    let parameters = [priority];
    let args = [0, libc::SCHED_FIFO as usize, parameters.as_ptr() as usize];
    call(libc::SYS_sched_setscheduler, &args).map(drop).map_err(io::Error::from_raw_os_error)
}

/// Has signals do what they do by default, however this program was started: what a shell runs in the background
/// ignores some, and so does all that it starts.
pub fn default_signals() {
    let kept = [libc::SIGKILL, libc::SIGSTOP, libc::SIGPIPE];
    for signal in (1..32).filter(|signal| !kept.contains(signal)) {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Lets this process be killed when its parent ends.
pub fn end_with_parent() {
    let _ = call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize]);
}

/// Makes this process the parent of orphaned descendants.
pub fn adopt_orphans() {
    let _ = call(libc::SYS_prctl, &[libc::PR_SET_CHILD_SUBREAPER as usize, 1]);
}

/// A new mount namespace, whose mounts stay in it.
pub fn own_mounts() -> io::Result<()> {
    let root = c"/".as_ptr() as usize;
    let private = (libc::MS_REC | libc::MS_PRIVATE) as usize;
    call(libc::SYS_unshare, &[libc::CLONE_NEWNS as usize])
        .and_then(|_| call(libc::SYS_mount, &[0, root, 0, private, 0]))
        .map(drop)
        .map_err(io::Error::from_raw_os_error)
}

/// Mounts an empty tmpfs on a directory.
pub fn mount_tmpfs(on: &CString) -> io::Result<()> {
    mount(c"tmpfs", on, c"tmpfs", c"")
}

/// Mounts a file system on a directory.
pub fn mount(what: &CStr, on: &CStr, kind: &CStr, options: &CStr) -> io::Result<()> {
    let [what, on, kind, options] = [what, on, kind, options].map(|text| text.as_ptr() as usize);
    call(libc::SYS_mount, &[what, on, kind, 0, options]).map(drop).map_err(io::Error::from_raw_os_error)
}

/// Shows a directory at a second place.
pub fn mount_bind(from: &CString, on: &CString) -> io::Result<()> {
    let (from, on) = (from.as_ptr() as usize, on.as_ptr() as usize);
    call(libc::SYS_mount, &[from, on, 0, libc::MS_BIND as usize, 0])
        .map(drop)
        .map_err(io::Error::from_raw_os_error)
}

/// The state of a TCP socket, as `net/tcp_states.h` of the kernel numbers it.
pub fn tcp_state(socket: &impl AsRawFd) -> io::Result<u8> {
    tcp_info(socket).map(|[state]| state)
}

/// The first bytes of a TCP socket's struct `tcp_info`.
pub fn tcp_info<const LEN: usize>(socket: &impl AsRawFd) -> io::Result<[u8; LEN]> {
    let mut info = [0; LEN];
    let mut len = LEN as libc::socklen_t;
    let args = [
        socket.as_raw_fd() as usize,
        libc::IPPROTO_TCP as usize,
        libc::TCP_INFO as usize,
        info.as_mut_ptr() as usize,
        (&raw mut len) as usize,
    ];
    call(libc::SYS_getsockopt, &args).map_err(io::Error::from_raw_os_error)?;
    Ok(info)
}

/// The time of day.
pub fn unix_time() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// Waits until every CPU is done with what it does in the kernel now under RCU's read lock, as when a packet comes in.
pub fn rcu_grace_period() -> io::Result<()> {
    let done = call(libc::SYS_membarrier, &[libc::MEMBARRIER_CMD_GLOBAL as usize, 0, 0]);
    done.map(drop).map_err(io::Error::from_raw_os_error)
}

/// A system call by its number for 32-bit programs, whose arguments are that long too. Only where
/// [`low_page`] finds that there are such calls.
#[cfg(target_arch = "x86_64")]
pub fn call_32(number: usize, args: [usize; 5]) -> i64 {
    let [first, second, third, fourth, fifth] = args;
    let result: i32;
    // SAFETY: the caller vouches for the memory. The compiler keeps rbx for itself, so it is put
    // back; the kernel clears r8 to r11.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) first => _,
            inlateout("eax") number as i32 => result,
            in("ecx") second,
            in("edx") third,
            in("esi") fourth,
            in("edi") fifth,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result.into()
}

#[cfg(not(target_arch = "x86_64"))]
pub fn call_32(_: usize, _: [usize; 5]) -> i64 {
    -i64::from(libc::ENOSYS)
}

#[cfg(not(target_arch = "x86_64"))]
pub const fn low_page() -> Option<usize> {
    None
}

/// A page that a 32-bit call can be given; None where the kernel has no such calls.
#[cfg(target_arch = "x86_64")]
pub fn low_page() -> Option<usize> {
    const GETPID: usize = 20;
    // Without them the instruction ends the process.
    let child = fork(|| i32::from(call_32(GETPID, [0; 5]) != i64::from(pid()))).ok()?;
    if wait(child).ok()? != 0 {
        return None;
    }
    let prot = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT) as usize;
    call(libc::SYS_mmap, &[0, 4096, prot, flags, usize::MAX, 0]).ok()
}
