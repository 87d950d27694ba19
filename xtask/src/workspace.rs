//! Where things are: the checkout, its target folder, the cache, and the Rust tool chain.

use std::env;
use std::path::{self, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The target of everything that runs in user space.
pub const HOST_TARGET: &str = host_target();
/// The target of the kernel programs.
pub const BPF_TARGET: &str = "bpfel-unknown-none";

const fn host_target() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "x86_64-unknown-linux-gnu"
    } else if cfg!(target_arch = "aarch64") {
        "aarch64-unknown-linux-gnu"
    } else {
        panic!("tracer is built on x86_64 or aarch64")
    }
}

#[derive(Debug)]
pub struct Workspace {
    pub root: PathBuf,
    /// Tools and kernels: what outlives a `cargo clean`.
    pub cache: PathBuf,
}

impl Workspace {
    pub fn find() -> Result<Self> {
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").context("started without cargo: type `cargo xtask ...`")?;
        let root = Path::new(&manifest).parent().context("xtask's folder has no parent")?;
        Ok(Self { root: root.to_owned(), cache: path::absolute(cache_folder()?)? })
    }

    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The kernel objects that tracer-cli embeds (`TRACER_OBJECTS` in .cargo/config.toml).
    pub fn objects(&self) -> PathBuf {
        self.target().join("bpf")
    }

    /// A static release binary of the workspace.
    pub fn release_binary(&self, name: &str) -> PathBuf {
        self.target().join(HOST_TARGET).join("release").join(name)
    }

    /// A cargo command that works in the checkout and its target folder.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = Command::new(cargo_program());
        command.current_dir(&self.root).arg(subcommand);
        command.arg("--target-dir").arg(self.target());
        command
    }
}

/// The cargo that started xtask.
pub fn cargo_program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// The folder of the Rust tool chain in use.
pub fn sysroot() -> Result<PathBuf> {
    let printed = process::read(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(printed.trim()))
}

/// The version of rustc in use, such as `1.95.0`.
pub fn rustc_version() -> Result<String> {
    let printed = process::read(Command::new("rustc").arg("--version"))?;
    let version = printed.split_whitespace().nth(1).context("rustc printed no version")?;
    Ok(version.to_owned())
}

/// Cargo's own folder, where the sources of dependencies are.
pub fn cargo_home() -> Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Ok(home()?.join(".cargo")),
    }
}

pub fn home() -> Result<PathBuf> {
    env::var_os("HOME").map(PathBuf::from).context("HOME is not set")
}

fn cache_folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("TRACER_CACHE") {
        return Ok(PathBuf::from(folder));
    }
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => home()?.join(".cache"),
    };
    Ok(base.join("tracer"))
}
