//! One run of a virtual machine, watched: a panic or too much time ends it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::initramfs;
use super::kernel::Kernel;
use crate::process;
use crate::workspace::Workspace;

const POLL: Duration = Duration::from_millis(200);
/// How long a panicked kernel may go on to print.
const LAST_WORDS: Duration = Duration::from_secs(2);
const DISK_BYTES: u64 = 64 << 20;
const MACHINE: &[&str] = &["-smp", "2", "-m", "1024", "-nodefaults", "-display", "none", "-no-reboot"];
/// QEMU 7.2 now and then garbles the flags after an emulated cmpxchg16b, which kernels use to
/// allocate memory where a processor has it: one boot of 6.12.107 in five panicked.
const PROCESSOR: &str = "max,cx16=off";
/// How long the kernel waits before it calls a processor stuck: one that is emulated may have to wait for ours.
const PATIENCE: &str = "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Accelerator {
    /// Emulation: slow, and the same everywhere
    Tcg,
    /// The host's: where machines are nested it may exist and hang
    Kvm,
}

/// What is the same for every machine of a run.
#[derive(Debug)]
pub struct Settings<'a> {
    pub accelerator: Accelerator,
    /// Only scenarios whose names hold this.
    pub filter: Option<&'a str>,
    pub time_limit: Duration,
    /// The root that tracer's package is installed in.
    pub package: &'a Path,
}

/// How a machine ended and what it said.
#[derive(Debug)]
pub struct Record {
    pub end: End,
    pub console: String,
    /// What the scenario runner and the guest's init wrote.
    pub results: String,
    pub elapsed: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    PoweredOff,
    Panicked,
    TimedOut,
}

/// Boot, run the scenarios, power off.
pub fn run_tests(workspace: &Workspace, kernel: &Kernel, settings: &Settings<'_>) -> Result<Record> {
    let machine = Machine::prepare(workspace, kernel, settings.package)?;
    let mut variables = String::new();
    if let Some(filter) = settings.filter {
        variables = format!("TRACER_FILTER={filter}");
    }
    let mut qemu = machine.command(settings.accelerator, &variables);
    qemu.arg("-serial").arg(file_argument(&machine.console()));
    qemu.arg("-serial").arg(file_argument(&machine.results()));
    qemu.stdin(Stdio::null());
    let start = Instant::now();
    let end = machine.watch(&mut qemu, settings.time_limit)?;
    let (console, results) = (read_text(&machine.console()), read_text(&machine.results()));
    Ok(Record { end, console, results, elapsed: start.elapsed() })
}

/// Boot into a shell on this terminal.
pub fn shell(workspace: &Workspace, kernel: &Kernel, accelerator: Accelerator, package: &Path) -> Result<()> {
    let machine = Machine::prepare(workspace, kernel, package)?;
    let mut qemu = machine.command(accelerator, "TRACER_SHELL=1");
    process::run(qemu.args(["-serial", "mon:stdio"]))
}

/// The files of one machine, in a folder of its own.
#[derive(Debug)]
struct Machine<'a> {
    kernel: &'a Kernel,
    folder: PathBuf,
}

impl<'a> Machine<'a> {
    fn prepare(workspace: &Workspace, kernel: &'a Kernel, package: &Path) -> Result<Self> {
        let folder = workspace.target().join("vm").join(kernel.series.name);
        fs::create_dir_all(&folder)?;
        let machine = Self { kernel, folder };
        fs::write(machine.initramfs(), initramfs::build(workspace, kernel, package)?)?;
        File::create(machine.disk())?.set_len(DISK_BYTES)?;
        File::create(machine.console())?;
        File::create(machine.results())?;
        Ok(machine)
    }

    /// qemu, but for its serial ports. Words with `=` that the kernel does not know become
    /// variables of init's environment.
    fn command(&self, accelerator: Accelerator, variables: &str) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(MACHINE).args(["-cpu", PROCESSOR]);
        qemu.args(match accelerator {
            // One thread for both processors: where they have one each, a 6.12 kernel that patches its own
            // code now and then dies of a breakpoint that is no more (QEMU 7.2).
            Accelerator::Tcg => ["-accel", "tcg,thread=single"],
            Accelerator::Kvm => ["-accel", "kvm"],
        });
        qemu.arg("-kernel").arg(self.kernel.image());
        qemu.arg("-initrd").arg(self.initramfs());
        let mut drive = file_argument(&self.disk()).replace("file:", "file=");
        drive.push_str(",if=none,id=disk,format=raw,cache=unsafe");
        qemu.arg("-drive").arg(drive).args(["-device", "virtio-blk-pci,drive=disk"]);
        let name = self.kernel.series.name;
        qemu.arg("-append");
        qemu.arg(format!("console=ttyS0 panic=-1 quiet {PATIENCE} TRACER_KERNEL={name} {variables}"));
        qemu
    }

    fn watch(&self, qemu: &mut Command, limit: Duration) -> Result<End> {
        let mut child = qemu.spawn().context("cannot start qemu")?;
        let end = Instant::now() + limit;
        loop {
            if child.try_wait()?.is_some() {
                return Ok(if self.has_panicked() { End::Panicked } else { End::PoweredOff });
            }
            if self.has_panicked() {
                process::wait_within(&mut child, LAST_WORDS)?;
                return Ok(End::Panicked);
            }
            if Instant::now() >= end {
                child.kill()?;
                child.wait()?;
                return Ok(End::TimedOut);
            }
            thread::sleep(POLL);
        }
    }

    fn has_panicked(&self) -> bool {
        read_text(&self.console()).contains("Kernel panic")
    }

    fn initramfs(&self) -> PathBuf {
        self.folder.join("initramfs")
    }

    fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    fn results(&self) -> PathBuf {
        self.folder.join("results.log")
    }
}

fn file_argument(path: &Path) -> String {
    // A comma would begin another option of qemu's.
    format!("file:{}", path.display().to_string().replace(',', ",,"))
}

/// What a machine wrote, without the carriage returns of a terminal.
fn read_text(file: &Path) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\r', "")
}
