//! Debian packages: which, how one sees that they are there, and what they are for.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, elf};

use crate::apt;
use crate::process;
use crate::report;

#[derive(Debug)]
pub struct Package {
    name: &'static str,
    proof: Proof,
    purpose: &'static str,
}

#[derive(Debug)]
enum Proof {
    /// A program in PATH.
    Program(&'static str),
    /// A program that is linked statically.
    StaticProgram(&'static str),
    /// Any of these files.
    File(&'static [&'static str]),
}

pub const BUILD: &[Package] = &[
    Package::of("gcc", "cc", "links Rust programs"),
    Package {
        name: "libc6-dev",
        proof: Proof::File(&[
            "/usr/lib/x86_64-linux-gnu/libc.a",
            "/usr/lib/aarch64-linux-gnu/libc.a",
            "/usr/lib64/libc.a",
            "/usr/lib/libc.a",
        ]),
        purpose: "holds the C library that tracer is linked with statically",
    },
];

pub const VM: &[Package] = &[
    Package::of("qemu-system-x86", "qemu-system-x86_64", "runs the virtual machines of the test matrix"),
    Package {
        name: "busybox-static",
        proof: Proof::StaticProgram("busybox"),
        purpose: "is the shell and the tools inside the virtual machines",
    },
    Package::of("xz-utils", "xz", "unpacks kernels and their modules"),
    Package::of("lz4", "lz4", "unpacks some kernels"),
    Package::of("zstd", "zstd", "unpacks newer kernels"),
];

/// What only some scenarios need.
pub const SCENARIOS: &[Package] = &[
    Package::of("musl-tools", "musl-gcc", "links test programs with another C library"),
    Package::of("e2fsprogs", "mkfs.ext4", "makes an ext4 for scenarios"),
    Package::of("xfsprogs", "mkfs.xfs", "makes an xfs for scenarios"),
    Package::of("btrfs-progs", "mkfs.btrfs", "makes a btrfs for scenarios"),
    Package::of("librsvg2-bin", "rsvg-convert", "shows whether flame graphs are pictures"),
];

pub const FUZZ: &[Package] = &[Package::of("g++", "c++", "compiles libFuzzer")];

pub const BENCH: &[Package] = &[
    Package::of("debootstrap", "debootstrap", "makes the folder that the bench's peers run in"),
    Package::of("mount", "losetup", "makes the disk that the bench reads"),
];

/// Install those of `packages` that are missing.
pub fn require(packages: &[Package]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    for Package { name, purpose, .. } in &missing {
        report::progress(format!("installing the Debian package {name}: it {purpose}"));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    apt::install(&names).with_context(|| format!("cannot install {}", names.join(" ")))?;
    match self::missing(packages).first() {
        None => Ok(()),
        Some(Package { name, proof, .. }) => bail!("{name} was installed, but there is no {proof}"),
    }
}

fn missing(packages: &[Package]) -> Vec<&Package> {
    packages.iter().filter(|package| !package.is_there()).collect()
}

impl Package {
    /// One that brings a program.
    const fn of(name: &'static str, program: &'static str, purpose: &'static str) -> Self {
        Self { name, proof: Proof::Program(program), purpose }
    }

    fn is_there(&self) -> bool {
        match self.proof {
            Proof::Program(name) => process::find_program(name).is_some(),
            Proof::StaticProgram(name) => process::find_program(name).is_some_and(|p| is_static(&p)),
            Proof::File(files) => files.iter().any(|file| Path::new(file).exists()),
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(name) => write!(f, "{name} in PATH"),
            Self::StaticProgram(name) => write!(f, "static {name} in PATH"),
            Self::File(files) => f.write_str(files.first().unwrap_or(&"file of it")),
        }
    }
}

/// No interpreter is asked for.
fn is_static(program: &Path) -> bool {
    let Ok(data) = fs::read(program) else {
        return false;
    };
    let Ok(file) = ElfFile64::<Endianness>::parse(&*data) else {
        return false;
    };
    let endian = file.endian();
    let Ok(headers) = file.elf_header().program_headers(endian, &*data) else {
        return false;
    };
    headers.iter().all(|header| header.p_type(endian) != elf::PT_INTERP)
}
