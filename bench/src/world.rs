//! Where things are, and a mount namespace in which peers find what they need.

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

#[derive(clap::Args)]
pub struct Options {
    /// The program to measure
    #[arg(long)]
    pub tracer: PathBuf,
    /// The same program, doing all kernel work twice: the bench checks itself with it
    #[arg(long)]
    pub twice: Option<PathBuf>,
    /// The object of the floors
    #[arg(long)]
    pub floors: PathBuf,
    /// The root folder of a system that has the peers
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// Few rounds of what guards against regressions
    #[arg(long)]
    pub quick: bool,
    /// Only the tables whose title holds this text
    #[arg(long, default_value = "")]
    pub only: String,
    /// How often each contender has its turn
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Results as JSON
    #[arg(long)]
    pub json: PathBuf,
    /// Results as the tables of docs/performance.md
    #[arg(long)]
    pub markdown: PathBuf,
}

#[derive(Clone)]
pub struct World {
    pub tracer: PathBuf,
    pub floors: PathBuf,
    pub root: Option<PathBuf>,
    pub this: PathBuf,
    pub rounds: usize,
    /// Operations are divided by this.
    pub divisor: u64,
    only: String,
    scratch: Rc<TempDir>,
}

const TRACEFS: &str = "/sys/kernel/tracing";
/// What peers look at besides their own files.
const SHARED: [&str; 3] = ["/proc", "/sys", "/dev"];

impl World {
    /// Enters a mount namespace of its own, which goes with this process.
    pub fn new(options: &Options) -> Result<Self> {
        // SAFETY: no memory is involved.
        ensure!(unsafe { libc::geteuid() } == 0, "measuring needs root");
        own_mounts().context("no mount namespace")?;
        if !Path::new(TRACEFS).join("events").exists() {
            mount("tracefs", TRACEFS, Some("tracefs"), 0)?;
        }
        if let Some(root) = &options.root {
            for folder in SHARED {
                let inside = root.join(&folder[1..]);
                mount(folder, &inside, None, libc::MS_BIND | libc::MS_REC)?;
            }
        }
        let rounds = if options.quick { 3 } else { 5 };
        Ok(Self {
            tracer: options.tracer.canonicalize()?,
            floors: options.floors.canonicalize()?,
            root: options.root.as_ref().map(|root| root.canonicalize()).transpose()?,
            this: std::env::current_exe()?,
            rounds: options.rounds.unwrap_or(rounds),
            divisor: if options.quick { 5 } else { 1 },
            only: options.only.to_lowercase(),
            scratch: Rc::new(tempfile::tempdir()?),
        })
    }

    /// Whether the table of this title was asked for.
    pub fn wants(&self, title: &str) -> bool {
        title.to_lowercase().contains(&self.only)
    }

    /// The same with another program to measure.
    pub fn with(&self, tracer: &Path) -> Self {
        Self { tracer: tracer.to_owned(), ..self.clone() }
    }

    /// A file of this run's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Whether a peer's program is there.
    pub fn has(&self, program: &str) -> bool {
        let folders = ["usr/sbin", "usr/bin", "sbin", "bin"];
        let found = |root: &PathBuf| folders.iter().any(|folder| root.join(folder).join(program).exists());
        self.root.as_ref().is_some_and(found)
    }
}

/// A block device of which each read is one request; it goes with its owner.
pub struct LoopDevice(pub String);

impl LoopDevice {
    pub fn new(world: &World) -> Result<Self> {
        let file = world.file("disk");
        fs::write(&file, vec![0; 1 << 20])?;
        let output =
            Command::new("losetup").args(["--find", "--show"]).arg(&file).output().context("losetup")?;
        ensure!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(Self(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

fn own_mounts() -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    mount_raw(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE)
}

fn mount(source: &str, target: impl AsRef<Path>, kind: Option<&str>, flags: libc::c_ulong) -> Result<()> {
    let target = target.as_ref();
    fs::create_dir_all(target).with_context(|| target.display().to_string())?;
    let path = CString::new(target.as_os_str().as_bytes())?;
    let (source, kind) = (CString::new(source)?, kind.map(CString::new).transpose()?);
    mount_raw(Some(&source), &path, kind.as_deref(), flags)
        .with_context(|| format!("cannot mount on {}", target.display()))
}

fn mount_raw(
    source: Option<&std::ffi::CStr>,
    target: &std::ffi::CStr,
    kind: Option<&std::ffi::CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let pointer = |text: Option<&std::ffi::CStr>| text.map_or(std::ptr::null(), std::ffi::CStr::as_ptr);
    // SAFETY: the texts live until the call returns.
    match unsafe { libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, std::ptr::null()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
