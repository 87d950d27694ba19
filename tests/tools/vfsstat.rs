//! vfsstat: calls of the file systems' common layer, which only function probes see.

use std::{io, os::fd::AsRawFd, path::Path};

use crate::{
    harness::{
        Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json, rows, skip, sys, tracer,
    },
    standard::{Events, Shape, Standard},
};

const OPS: &[(&str, u64)] = &[
    ("read", 31),
    // The last is the account itself.
    ("write", 37 + 1),
    ("fsync", 5),
    ("open", 41),
    ("create", 7),
    ("unlink", 7),
    ("mkdir", 3),
    ("rmdir", 3),
];

pub const SUITE: Suite = Suite {
    name: "vfsstat",
    standard: Some(Standard {
        tool: "vfsstat",
        shape: Shape::Interval,
        args: &[],
        keys: &["read", "write", "fsync", "open", "create", "unlink", "mkdir", "rmdir"],
        table: &["read", "write", "fsync", "open", "create", "unlink", "mkdir", "rmdir"],
        load: &["vfs"],
        events: Events::Exactly(31 + 38 + 5 + 41 + 7 + 7 + 3 + 3),
        of_children: false,
        needs: function_probes,
    }),
    tests: &[
        Test::new("counts_every_operation", counts_every_operation),
        Test::new("runs_or_says_what_it_misses", runs_or_says_what_it_misses),
    ],
    workloads: &[Workload::new("vfs", vfs)],
};

/// Skips where the kernel cannot have probes on its functions.
pub(super) fn function_probes() -> Result<()> {
    match Path::new("/sys/bus/event_source/devices/kprobe").exists() {
        true => Ok(()),
        false => Err(skip("this kernel has no kprobes")),
    }
}

/// So many of each operation.
fn vfs(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let file = tempfile::tempfile()?;
    let fd = file.as_raw_fd() as usize;
    let path = |name: &str| sys::text(format!("/tmp/{name}-{}", sys::pid()));
    let (made, directory) = (path("made"), path("directory"));
    let byte = c"x".as_ptr() as usize;
    let mut buffer = [0_u8; 1];
    let into = buffer.as_mut_ptr() as usize;
    gate.wait(&json!({}))?;
    let times = |count: usize, call: &dyn Fn() -> Result<usize, sys::Errno>| {
        (0..count).try_for_each(|_| call().map(drop).map_err(io::Error::from_raw_os_error))
    };
    let here = libc::AT_FDCWD as usize;
    let [made, directory] = [&made, &directory].map(|path| path.as_ptr() as usize);
    let null = c"/dev/null".as_ptr() as usize;
    times(31, &|| sys::call(libc::SYS_read, &[fd, into, 1]))?;
    times(37, &|| sys::call(libc::SYS_write, &[fd, byte, 1]))?;
    times(5, &|| sys::call(libc::SYS_fsync, &[fd]))?;
    times(41, &|| sys::close(sys::call(libc::SYS_openat, &[here, null, 0, 0])?))?;
    times(7, &|| {
        sys::call(libc::SYS_mknodat, &[here, made, libc::S_IFREG as usize, 0])?;
        sys::call(libc::SYS_unlinkat, &[here, made, 0])
    })?;
    times(3, &|| {
        sys::call(libc::SYS_mkdirat, &[here, directory, 0o700])?;
        sys::call(libc::SYS_unlinkat, &[here, directory, libc::AT_REMOVEDIR as usize])
    })?;
    Ok(json!({}))
}

fn counts_every_operation() -> Result<()> {
    function_probes()?;
    let mut load = Load::start(&["vfs"])?;
    let tool = Tool::json("vfsstat", &["-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    for (name, count) in OPS {
        equal(name, rows::sum(&rows, name), *count)?;
    }
    Ok(())
}

/// Without function probes it ends with 4 and says why.
fn runs_or_says_what_it_misses() -> Result<()> {
    let output = tracer(&["vfsstat", "1", "1"]).output()?;
    if function_probes().is_ok() {
        return output.ok().map(drop);
    }
    let line = output.fails(4)?.to_lowercase();
    ensure!(line.contains("kprobe") || line.contains("fentry"), "the reason is {line:?}");
    Ok(())
}
