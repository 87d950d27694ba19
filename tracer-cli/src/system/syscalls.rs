//! The names of system calls, from the running kernel.

use std::{borrow::Cow, os::fd::AsRawFd};

use anyhow::{Context, bail};
use tracer_common::{
    record::until_nul,
    syscall::{EVENTS_A_RUN, MORE, NAME_LEN, Names},
};
use zerocopy::FromBytes;

use crate::bpf::{
    hook::{Hook, Kernel},
    object::Linked,
    sys,
};

/// The program that `syscall_names!` declares in a tool's object.
const PROGRAM: Hook = Hook::RawTp("syscall_names");
/// Runs of it that are enough for any kernel: for 65,536 events.
const MAX_RUNS: u32 = 65_536 / EVENTS_A_RUN;
/// Ids of trace events, one of which can be opened. The first is that of all functions; after some
/// of tracing's own come tracepoints that fire while the system boots.
const IDS: std::ops::Range<u64> = 2..1024;

/// Functions of the kernel that are not called as the system call is.
const RENAMED: &[(&str, &str)] = &[
    ("newstat", "stat"),
    ("newlstat", "lstat"),
    ("newfstat", "fstat"),
    ("newuname", "uname"),
    ("sendfile64", "sendfile"),
    ("umount", "umount2"),
];

/// The native system calls' names by number, as in section 2 of the manual.
#[derive(Debug, Default)]
pub struct Syscalls {
    names: Vec<String>,
}

impl Syscalls {
    /// Reads the names with the program in a tool's object.
    ///
    /// # Errors
    /// If the kernel does not tell them.
    pub fn read(kernel: &Kernel, object: &Linked) -> anyhow::Result<Self> {
        let program = kernel.load_unattached(PROGRAM, object)?;
        let Some(event) = IDS.map(sys::perf_tracepoint).find_map(Result::ok) else {
            bail!("no trace event can be opened");
        };
        let argument = [event.as_raw_fd() as u64];
        for _ in 0..MAX_RUNS {
            if program.run(&argument)? != MORE {
                break;
            }
        }
        // Closing it waits until no CPU uses it, which takes longer than all the rest.
        let close = std::thread::Builder::new().spawn(move || drop(event));
        drop(close);
        Self::from_map(object)
    }

    fn from_map(object: &Linked) -> anyhow::Result<Self> {
        let map = object.map("SYSCALL_NAMES").context("the built-in object has no map of names")?;
        let value = map.get(&0u32.to_ne_bytes())?.context("the map of names is empty")?;
        let names = Names::read_from_bytes(&value).ok().context("the map of names is of another size")?;
        if names.names.iter().all(|name| name[0] == 0) {
            bail!("this kernel has no trace events of system calls (CONFIG_FTRACE_SYSCALLS)");
        }
        Ok(Self { names: names.names.iter().map(public_name).collect() })
    }

    /// The name of the call with this number.
    #[must_use]
    pub fn name(&self, number: u32) -> Cow<'_, str> {
        match self.names.get(number as usize) {
            Some(name) if !name.is_empty() => name.into(),
            _ => format!("syscall_{number}").into(),
        }
    }
}

/// The kernel's names begin with `sys_`.
fn public_name(name: &[u8; NAME_LEN]) -> String {
    let name = String::from_utf8_lossy(until_nul(name));
    let name = name.strip_prefix("sys_").unwrap_or(&name);
    RENAMED.iter().find(|(function, _)| *function == name).map_or(name, |(_, name)| name).to_owned()
}
