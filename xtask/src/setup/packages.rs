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
    Package { name: "gcc", proof: Proof::Program("cc"), purpose: "links Rust programs" },
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
    Package {
        name: "qemu-system-x86",
        proof: Proof::Program("qemu-system-x86_64"),
        purpose: "runs the virtual machines of the test matrix",
    },
    Package {
        name: "busybox-static",
        proof: Proof::StaticProgram("busybox"),
        purpose: "is the shell and the tools inside the virtual machines",
    },
    Package { name: "xz-utils", proof: Proof::Program("xz"), purpose: "unpacks kernels and their modules" },
    Package { name: "lz4", proof: Proof::Program("lz4"), purpose: "unpacks some kernels" },
    Package { name: "zstd", proof: Proof::Program("zstd"), purpose: "unpacks newer kernels" },
];

/// What only some scenarios need.
pub const SCENARIOS: &[Package] = &[
    Package {
        name: "musl-tools",
        proof: Proof::Program("musl-gcc"),
        purpose: "links a test program with another C library",
    },
    Package { name: "e2fsprogs", proof: Proof::Program("mkfs.ext4"), purpose: "makes an ext4 for scenarios" },
    Package { name: "xfsprogs", proof: Proof::Program("mkfs.xfs"), purpose: "makes an xfs for scenarios" },
    Package {
        name: "btrfs-progs",
        proof: Proof::Program("mkfs.btrfs"),
        purpose: "makes a btrfs for scenarios",
    },
];

pub const FUZZ: &[Package] =
    &[Package { name: "g++", proof: Proof::Program("c++"), purpose: "compiles libFuzzer" }];

pub const BENCH: &[Package] = &[
    Package {
        name: "debootstrap",
        proof: Proof::Program("debootstrap"),
        purpose: "makes the folder that the bench's peers run in",
    },
    Package {
        name: "mount",
        proof: Proof::Program("losetup"),
        purpose: "makes the disk that the bench reads",
    },
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
