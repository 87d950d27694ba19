//! Workloads: known operations in a tight loop on one CPU, timed by themselves.

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io::{self, BufRead, Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{NOTHING, floor::println_now};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// open and close of the file given
    Opens,
    /// The same, so many a second as the argument's last word says: `FILE RATE`
    PacedOpens,
    /// Opens of files that do not exist, named by the time, until killed
    ClockOpens,
    /// Processes that do nothing, with the time as an argument, until killed
    ClockExecs,
    /// fork, exec and wait of a process that does nothing
    Execs,
    /// getppid
    Calls,
    /// A byte to and fro between two threads on one CPU: two switches
    Switches,
    /// The same, each pair of switches under one of as many distinct stacks as the argument says
    StackSwitches,
    /// connect, accept and close on the loopback
    Connects,
    /// Reads of 4 KB past the page cache, from the device given
    DirectReads,
    /// Threads that only start and end
    Threads,
}

impl Kind {
    /// The word of the command line.
    pub fn word(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Prints `ready`, waits for a line, works, and prints the nanoseconds taken.
pub fn run(kind: Kind, operations: u64, argument: Option<&str>) -> Result<()> {
    let argument = argument.unwrap_or_default();
    pin_to_last_cpu()?;
    let mut work: Box<dyn FnMut() -> Result<()>> = match kind {
        Kind::Opens => opens(operations, argument)?,
        Kind::PacedOpens => paced_opens(operations, argument)?,
        Kind::ClockOpens => Box::new(clock_opens),
        Kind::ClockExecs => Box::new(clock_execs),
        Kind::Execs => execs(operations)?,
        Kind::Calls => Box::new(move || calls(operations)),
        Kind::Switches => switches(operations)?,
        Kind::StackSwitches => stack_switches(operations, argument)?,
        Kind::Connects => connects(operations)?,
        Kind::DirectReads => direct_reads(operations, argument)?,
        Kind::Threads => Box::new(move || threads(operations)),
    };
    println_now("ready")?;
    io::stdin().lock().read_line(&mut String::new())?;
    let start = Instant::now();
    work()?;
    println_now(&start.elapsed().as_nanos().to_string())
}

/// The tool has the other CPUs, so that what it costs there is not mixed with what it costs here.
fn pin_to_last_cpu() -> Result<()> {
    // SAFETY: the set is plain data, and both calls are given its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of_val(&set);
        ensure!(libc::sched_getaffinity(0, size, &raw mut set) == 0, io::Error::last_os_error());
        let last = (0..libc::CPU_SETSIZE as usize).rfind(|&cpu| libc::CPU_ISSET(cpu, &set));
        libc::CPU_ZERO(&mut set);
        libc::CPU_SET(last.context("no CPU to run on")?, &mut set);
        ensure!(libc::sched_setaffinity(0, size, &raw const set) == 0, io::Error::last_os_error());
    }
    Ok(())
}

type Work = Box<dyn FnMut() -> Result<()>>;

fn open_and_close(path: &CString) -> io::Result<()> {
    // SAFETY: the path ends with NUL; the descriptor is our own.
    let fd = unsafe { libc::openat(libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    unsafe { libc::close(fd) };
    Ok(())
}

fn opens(operations: u64, path: &str) -> Result<Work> {
    let path = CString::new(path)?;
    Ok(Box::new(move || (0..operations).try_for_each(|_| Ok(open_and_close(&path)?))))
}

/// In slices of a millisecond: what comes late is made up for.
fn paced_opens(operations: u64, argument: &str) -> Result<Work> {
    let (path, rate) = argument.rsplit_once(' ').context("FILE RATE")?;
    let (path, rate) = (CString::new(path)?, rate.parse::<f64>()?);
    Ok(Box::new(move || {
        let start = Instant::now();
        let mut done = 0;
        while done < operations {
            let due = (start.elapsed().as_secs_f64() * rate) as u64;
            for _ in done..due.min(operations) {
                open_and_close(&path)?;
            }
            done = due.min(operations).max(done);
            thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }))
}

/// Part of the names by which the first captured event tells when it was.
pub const CLOCK_MARK: &str = "bench-clock-";
/// Time between two of them.
const CLOCK_STEP: Duration = Duration::from_micros(20);

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and the struct is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn clock_opens() -> Result<()> {
    loop {
        let path = CString::new(format!("/{CLOCK_MARK}{}", monotonic_ns()))?;
        // There is no such file.
        let _ = open_and_close(&path);
        let start = Instant::now();
        while start.elapsed() < CLOCK_STEP {
            std::hint::spin_loop();
        }
    }
}

fn clock_execs() -> Result<()> {
    let program = std::env::current_exe()?;
    loop {
        let name = format!("{CLOCK_MARK}{}", monotonic_ns());
        Command::new(&program).args([NOTHING, &name]).status()?;
    }
}

/// What the exec events' arguments are known by.
pub const EXEC_MARK: &str = "bench-exec";

fn execs(operations: u64) -> Result<Work> {
    let program = std::env::current_exe()?;
    Ok(Box::new(move || {
        for _ in 0..operations {
            Command::new(&program).args([NOTHING, EXEC_MARK, "a blank", "the end"]).status()?;
        }
        Ok(())
    }))
}

fn calls(operations: u64) -> Result<()> {
    for _ in 0..operations {
        // SAFETY: no arguments, no failure. Not getppid(), which a C library may remember.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    Ok(())
}

fn switches(operations: u64) -> Result<Work> {
    let mut echo = Echo::start()?;
    Ok(Box::new(move || (0..operations / 2).try_for_each(|_| Ok(echo.byte()?))))
}

/// The frames between the loop and the switch, of which each is one of two functions.
const DEPTH: u32 = 24;

fn stack_switches(operations: u64, stacks: &str) -> Result<Work> {
    let stacks: u64 = stacks.parse()?;
    ensure!((1..1 << DEPTH).contains(&stacks), "no such number of stacks can be had");
    let mut echo = Echo::start()?;
    Ok(Box::new(move || {
        (0..operations / 2).try_for_each(|pair| Ok(step_zero(pair % stacks, DEPTH, &mut echo)?))
    }))
}

#[inline(never)]
fn step_zero(path: u64, left: u32, echo: &mut Echo) -> io::Result<()> {
    // Not the last thing done, or it would be no call.
    std::hint::black_box(step(path, left, echo))
}

#[inline(never)]
fn step_one(path: u64, left: u32, echo: &mut Echo) -> io::Result<()> {
    let result = std::hint::black_box(step(path, left, echo));
    // So that the linker does not take both functions for one.
    std::hint::black_box(path);
    result
}

#[inline(always)]
fn step(path: u64, left: u32, echo: &mut Echo) -> io::Result<()> {
    match (left, path & 1) {
        (0, _) => echo.byte(),
        (_, 0) => step_zero(path >> 1, left - 1, echo),
        _ => step_one(path >> 1, left - 1, echo),
    }
}

/// A thread that sends back each byte it gets. Both are on the one CPU, so each byte means two switches.
struct Echo {
    there: io::PipeWriter,
    back: io::PipeReader,
}

impl Echo {
    fn start() -> io::Result<Self> {
        let (mut input, there) = io::pipe()?;
        let (back, mut output) = io::pipe()?;
        thread::spawn(move || {
            let mut byte = [0];
            while input.read_exact(&mut byte).is_ok() && output.write_all(&byte).is_ok() {}
        });
        Ok(Self { there, back })
    }

    fn byte(&mut self) -> io::Result<()> {
        self.there.write_all(&[0])?;
        self.back.read_exact(&mut [0])
    }
}

fn connects(operations: u64) -> Result<Work> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let reset = libc::linger { l_onoff: 1, l_linger: 0 };
    Ok(Box::new(move || {
        for _ in 0..operations {
            let client = TcpStream::connect(address)?;
            let server = listener.accept()?;
            // A reset leaves no port in TIME_WAIT: there are not as many ports as operations.
            // SAFETY: the option's struct lives until the call returns.
            unsafe {
                libc::setsockopt(
                    client.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_LINGER,
                    (&raw const reset).cast(),
                    size_of_val(&reset) as u32,
                );
            }
            drop((client, server));
        }
        Ok(())
    }))
}

const BLOCK: usize = 4096;

#[repr(align(4096))]
struct Aligned([u8; BLOCK]);

fn direct_reads(operations: u64, device: &str) -> Result<Work> {
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(device)?;
    let mut buffer = Box::new(Aligned([0; BLOCK]));
    Ok(Box::new(move || {
        for operation in 0..operations {
            file.read_exact_at(&mut buffer.0, operation % 64 * BLOCK as u64)?;
        }
        Ok(())
    }))
}

fn threads(operations: u64) -> Result<()> {
    for _ in 0..operations {
        thread::Builder::new().stack_size(16 << 10).spawn(|| {})?.join().ok().context("a thread")?;
    }
    Ok(())
}
