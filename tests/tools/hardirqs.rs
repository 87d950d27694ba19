//! hardirqs: interrupts, beside the kernel's own count of them.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileExt, OpenOptionsExt},
        },
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::softirqs::{Tally, agrees_with_itself, beside_the_kernel};
use crate::{
    harness::{
        Context, Gate, Result, Suite, Test, Value, Workload, disk::page, ensure, equal, json, load::count,
        rows, sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

const KEYS: &[&str] =
    &["irq", "handler", "count", "total_us", "avg_us", "p50_us", "p90_us", "p99_us", "max_us"];

pub const SUITE: Suite = Suite {
    name: "hardirqs",
    standard: Some(Standard {
        tool: "hardirqs",
        shape: Shape::Top,
        args: &[],
        keys: KEYS,
        table: &["irq", "handler", "count", "total_us", "avg_us", "p99_us", "max_us"],
        load: &["interrupts", "53"],
        // Many hit the workload, and some whoever else has the CPU.
        events: Events::AtLeast(1),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("agrees_with_the_kernel", agrees_with_the_kernel),
        Test::new("counts_only", counts_only),
        Test::new("prints_histograms", prints_histograms),
        Test::new("names_handlers_as_the_kernel_does", names_handlers_as_the_kernel_does),
    ],
    workloads: &[Workload::new("interrupts", interrupts)],
};

/// What interrupts when it is used.
enum Device {
    /// With memory for a block.
    Disk(File, &'static mut [u8]),
    Serial(File),
}

impl Device {
    /// The disk that has the temporary files, or where memory has them, as in the VMs, a serial line.
    fn open() -> Result<Self> {
        let folder = env::temp_dir();
        if fs_type(&folder)? == libc::TMPFS_MAGIC {
            let serial = OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY).open("/dev/ttyS0");
            return Ok(Self::Serial(serial.context("neither a disk nor a serial line")?));
        }
        let page = page()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_TMPFILE | libc::O_DIRECT);
        let file = options.open(&folder).with_context(|| folder.display().to_string())?;
        file.write_all_at(page, 0)?;
        Ok(Self::Disk(file, page))
    }

    fn use_once(&mut self) -> Result<()> {
        match self {
            Self::Disk(file, page) => file.read_exact_at(page, 0)?,
            Self::Serial(file) => {
                // What a terminal ignores.
                file.write_all(b"\0")?;
                // SAFETY: only tells the kernel to wait.
                unsafe { libc::tcdrain(file.as_raw_fd()) };
            }
        }
        Ok(())
    }
}

fn fs_type(path: &Path) -> Result<libc::__fsword_t> {
    // SAFETY: all zeroes is valid, and is overwritten.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: path and result live until the call returns.
    let result = unsafe { libc::statfs(sys::text(path.as_os_str().as_bytes()).as_ptr(), &raw mut stat) };
    ensure!(result == 0, "statfs: {}", io::Error::last_os_error());
    Ok(stat.f_type)
}

/// Uses a device again and again, and meanwhile has all CPUs, so that interrupts hit this process.
fn interrupts(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    let mut device = Device::open()?;
    sys::set_real_time(2).context("becoming a real-time thread")?;
    gate.wait(&json!({}))?;
    let is_done = Arc::new(AtomicBool::new(false));
    let busy = sys::cpus()?.into_iter().map(|cpu| {
        let is_done = Arc::clone(&is_done);
        thread::spawn(move || {
            // Below the thread that waits for the device.
            let _ = sys::pin_to(cpu).and_then(|()| sys::set_real_time(1));
            while !is_done.load(Ordering::Relaxed) {}
        })
    });
    let busy: Vec<_> = busy.collect();
    let result = (0..times).try_for_each(|_| device.use_once());
    is_done.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().ok().context("a thread")?;
    }
    result.map(|()| json!({}))
}

/// The numbered lines of /proc/interrupts: number, counts of the CPUs together, and all that follows.
fn kernel_lines() -> Result<Vec<(u64, u64, String)>> {
    let text = fs::read_to_string("/proc/interrupts")?;
    let cpus = text.lines().next().unwrap_or_default().split_whitespace().count();
    let lines = text.lines().skip(1).filter_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let counts = words.get(..cpus)?.iter().flat_map(|count| count.parse::<u64>());
        Some((number.trim().parse().ok()?, counts.sum(), words[cpus..].join(" ")))
    });
    Ok(lines.collect())
}

/// The kernel's counts, of interrupts that somebody handles.
fn kernel_counts() -> Result<Tally> {
    Ok(kernel_lines()?.into_iter().map(|(number, count, _)| (number.to_string(), count)).collect())
}

/// Interrupts, as the kernel does not count handlers; in tests none is shared.
fn name(row: &Value) -> String {
    rows::number(row, "irq").to_string()
}

const INTERRUPTS: &[&str] = &["interrupts", "53"];

fn agrees_with_the_kernel() -> Result<()> {
    let rows = beside_the_kernel(&["hardirqs"], INTERRUPTS, kernel_counts, name)?;
    rows::have_keys(&rows, KEYS)?;
    rows.iter().try_for_each(agrees_with_itself)
}

fn counts_only() -> Result<()> {
    let rows = beside_the_kernel(&["hardirqs", "--count-only"], INTERRUPTS, kernel_counts, name)?;
    rows::have_keys(&rows, &["irq", "handler", "count"])
}

fn prints_histograms() -> Result<()> {
    let rows = beside_the_kernel(&["hardirqs", "--dist"], INTERRUPTS, kernel_counts, name)?;
    rows::have_keys(&rows, &["irq", "handler", "unit", "count", "p50", "p90", "p99", "max", "buckets"])?;
    rows.iter().try_for_each(rows::is_histogram)
}

fn names_handlers_as_the_kernel_does() -> Result<()> {
    let mut rows = beside_the_kernel(&["hardirqs"], INTERRUPTS, kernel_counts, name)?;
    rows.extend(beside_the_kernel(&["hardirqs", "-D"], INTERRUPTS, kernel_counts, name)?);
    let lines = kernel_lines()?;
    for row in rows {
        let number = rows::number(&row, "irq");
        let line = lines.iter().find(|(of, ..)| *of == number).context("no such interrupt")?;
        let has_name = format!(" {}", line.2).ends_with(&format!(" {}", rows::text(&row, "handler")));
        equal(&format!("whether {row} has a name of {line:?}"), has_name, true)?;
    }
    Ok(())
}
