//! fsslower: calls on files that took long, with what they did where.

use std::{
    ffi::{CString, OsStr},
    fs,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        Context, Gate, Load, Place, Result, Scratch, Suite, Test, Tool, Value, Workload, by_machine,
        disk::Disk,
        ensure, equal, extra, json,
        load::count,
        rows, slow,
        sys::{self, Errno},
        tool, tracer,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "fsslower",
    standard: Some(Standard {
        tool: "fsslower",
        shape: Shape::Snoop,
        args: &["--min", "0"],
        keys: &[
            "pid",
            "tid",
            "uid",
            "comm",
            "fs",
            "operation",
            "bytes",
            "offset",
            "latency_us",
            "error",
            "file",
        ],
        table: &["pid", "comm", "fs", "operation", "bytes", "offset", "latency_us", "error", "file"],
        load: &["file-reads", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_every_operation", sees_every_operation),
        Test::new("sees_every_operation_on_ext4", || sees_every_operation_on("ext4", "xfs")),
        Test::new("sees_every_operation_on_xfs", || sees_every_operation_on("xfs", "ext4")),
        Test::new("sees_every_operation_on_btrfs", || sees_every_operation_on("btrfs", "ext4")),
        Test::new("sees_calls_of_32_bit_programs", sees_calls_of_32_bit_programs),
        Test::new("sees_what_took_long", sees_what_took_long),
        Test::new("measures_a_slow_file_system", measures_a_slow_file_system),
        Test::new("chooses_file_systems", chooses_file_systems),
        Test::new("an_alias_chooses_its_file_system", an_alias_chooses_its_file_system),
        Test::new("refuses_what_is_not_there", refuses_what_is_not_there),
    ],
    workloads: &[
        Workload::new("file-reads", file_reads),
        Workload::new("file-calls", file_calls),
        Workload::new("file-calls-32", file_calls_32),
        Workload::new("file-systems", file_systems),
        Workload::new("file-slow-open", file_slow_open),
        Workload::new("file-slow-calls", file_slow_calls),
    ],
};

/// A file's name that would forge a row.
pub const NAME: &str = "b\n1 c\x1b[31m";

/// The type of the file system that a path is on, as the table of mounts has it.
fn fs_of(path: &Path) -> Result<String> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    // Of mounts on the same directory, the last is on top.
    let on = fields.filter(|fields| fields.len() > 2 && path.starts_with(fields[1]));
    let mount = on.max_by_key(|fields| fields[1].len()).context("no mount")?;
    Ok(mount[2].to_owned())
}

fn file_reads(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    let file = fs::File::open(OsStr::from_bytes(gate.program().as_bytes()))?;
    let mut byte = [0_u8; 1];
    gate.wait(&json!({}))?;
    for _ in 0..times {
        sys::call(libc::SYS_pread64, &[file.as_raw_fd() as usize, byte.as_mut_ptr() as usize, 1, 0])
            .map_err(std::io::Error::from_raw_os_error)?;
    }
    Ok(json!({}))
}

/// What is done on the files of [`file_calls`], and the rows that it must make.
struct Calls {
    rows: Vec<Value>,
    fs: String,
}

impl Calls {
    fn row(&mut self, operation: &str, bytes: impl Into<Value>, offset: impl Into<Value>, file: &str) {
        let (bytes, offset): (Value, Value) = (bytes.into(), offset.into());
        self.rows.push(json!({
            "operation": operation, "bytes": bytes, "offset": offset,
            "error": null, "fs": self.fs, "file": file,
        }));
    }
}

/// The result of a call that must succeed.
pub fn done(result: Result<usize, Errno>) -> Result<usize> {
    Ok(result.map_err(std::io::Error::from_raw_os_error)?)
}

/// A directory of the workload's own; on a new disk, if a type of file system is asked for, and its blocks.
fn place(gate: &Gate, args: &[String]) -> Result<Place> {
    let home = Place::new(gate.home()?.path().canonicalize()?);
    let [fs, blocks] = args else { return Ok(home) };
    let disk = Disk::with_blocks(Path::new(blocks))?;
    sys::own_mounts()?;
    let on = Place::new(home.path().join("disk"));
    fs::create_dir(on.path())?;
    let device = sys::text(format!("/dev/{}", disk.name));
    sys::mount(&device, &home.text("disk"), &sys::text(fs.as_str()), c"")
        .with_context(|| format!("mounting {fs}"))?;
    Ok(on)
}

/// Every call of every operation, on files, and on what is no file.
fn file_calls(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let home = place(gate, args)?;
    let (a, b, missing) = (home.text("a"), home.text(NAME), home.text("missing"));
    let directory = fs::File::open(home.path())?;
    let mut calls = Calls { rows: Vec::new(), fs: fs_of(home.path())? };
    let (from_pipe, into_pipe) = std::io::pipe()?;
    let mut buffer = [7_u8; 64];
    let at = buffer.as_mut_ptr() as usize;
    let vector = [[at, 5], [at, 6]];
    let (here, vector) = (libc::AT_FDCWD as usize, vector.as_ptr() as usize);
    let how = [(libc::O_RDWR as u64), 0, 0];
    let (read_write, append) = (libc::O_RDWR as usize, (libc::O_WRONLY | libc::O_APPEND) as usize);
    gate.wait(&json!({}))?;

    let mut fds = Vec::new();
    let (path_a, path_b) = (a.as_ptr() as usize, b.as_ptr() as usize);
    #[cfg(target_arch = "x86_64")]
    for opened in
        [sys::call(libc::SYS_creat, &[path_a, 0o600]), sys::call(libc::SYS_open, &[path_a, read_write, 0])]
    {
        fds.push(done(opened)?);
        calls.row("open", Value::Null, Value::Null, &home.file("a"));
    }
    let creates = (libc::O_RDWR | libc::O_CREAT) as usize;
    for _ in 0..2 {
        fds.push(done(sys::call(libc::SYS_openat, &[here, path_a, creates, 0o600]))?);
        calls.row("open", Value::Null, Value::Null, &home.file("a"));
    }
    let opened = sys::call(libc::SYS_openat2, &[here, path_b, how.as_ptr() as usize, size_of_val(&how)]);
    equal("open of a missing file", opened, Err(libc::ENOENT))?;
    let b = done(sys::call(libc::SYS_openat, &[here, path_b, creates, 0o600]))?;
    calls.row("open", Value::Null, Value::Null, &home.file(NAME));
    let opened = sys::call(libc::SYS_openat2, &[here, path_b, how.as_ptr() as usize, size_of_val(&how)]);
    fds.push(done(opened)?);
    calls.row("open", Value::Null, Value::Null, &home.file(NAME));
    let appending = done(sys::call(libc::SYS_openat, &[here, path_a, append, 0]))?;
    calls.row("open", Value::Null, Value::Null, &home.file("a"));
    let _ = sys::call(libc::SYS_openat, &[here, missing.as_ptr() as usize, 0, 0]);

    let a = fds[0];
    // At the position, at an offset, and with -1 at the position again.
    let own = usize::MAX;
    let table = [
        ("write", libc::SYS_write, [a, at, 13, 0, 0, 0], 13, 0),
        ("write", libc::SYS_writev, [a, vector, 2, 0, 0, 0], 11, 13),
        ("write", libc::SYS_pwrite64, [a, at, 7, 101, 0, 0], 7, 101),
        ("write", libc::SYS_pwritev, [a, vector, 2, 211, 0, 0], 11, 211),
        ("write", libc::SYS_pwritev2, [a, vector, 2, 307, 0, 0], 11, 307),
        ("write", libc::SYS_pwritev2, [a, vector, 2, own, own, 0], 11, 24),
        ("write", libc::SYS_write, [appending, at, 17, 0, 0, 0], 17, 318),
    ];
    for (operation, number, args, bytes, offset) in table {
        equal(operation, done(sys::call(number, &args))?, bytes)?;
        calls.row(operation, bytes, offset, &home.file("a"));
    }
    let a = fds[1];
    let table = [
        ("read", libc::SYS_read, [a, at, 3, 0, 0, 0], 3, 0),
        ("read", libc::SYS_readv, [a, vector, 2, 0, 0, 0], 11, 3),
        ("read", libc::SYS_pread64, [a, at, 7, 300, 0, 0], 7, 300),
        ("read", libc::SYS_preadv, [a, vector, 2, 101, 0, 0], 11, 101),
        ("read", libc::SYS_preadv2, [a, vector, 2, 103, 0, 0], 11, 103),
        ("read", libc::SYS_preadv2, [a, vector, 2, own, own, 0], 11, 14),
        ("read", libc::SYS_pread64, [a, at, 7, 9973, 0, 0], 0, 9973),
    ];
    for (operation, number, args, bytes, offset) in table {
        equal(operation, done(sys::call(number, &args))?, bytes)?;
        calls.row(operation, bytes, offset, &home.file("a"));
    }
    for number in [libc::SYS_fsync, libc::SYS_fdatasync] {
        done(sys::call(number, &[a]))?;
        calls.row("fsync", Value::Null, Value::Null, &home.file("a"));
    }
    let mut from = 0_u64;
    let copied = sys::call(libc::SYS_copy_file_range, &[a, (&raw mut from) as usize, b, 0, 29, 0]);
    calls.row("copy", done(copied)?, Value::Null, &home.file(NAME));
    let refused = sys::call(libc::SYS_read, &[directory.as_raw_fd() as usize, at, 1]);
    equal("read of a directory", refused, Err(libc::EISDIR))?;
    calls.row("read", Value::Null, Value::Null, home.arg());
    if let Some(row) = calls.rows.last_mut() {
        row["error"] = "EISDIR".into();
    }

    // For tools that look at fstat too: three on the file, and two by a path.
    let (mut stat, empty) = ([0_u8; 512], c"".as_ptr() as usize);
    let stat = stat.as_mut_ptr() as usize;
    let empty_path = libc::AT_EMPTY_PATH as usize;
    done(sys::call(libc::SYS_fstat, &[a, stat]))?;
    done(sys::call(libc::SYS_newfstatat, &[a, empty, stat, empty_path]))?;
    done(sys::call(libc::SYS_statx, &[a, empty, empty_path, 0, stat]))?;
    done(sys::call(libc::SYS_newfstatat, &[here, path_a, stat, 0]))?;
    done(sys::call(libc::SYS_statx, &[here, path_a, 0, 0, stat]))?;

    // No files, or no descriptors at all.
    done(sys::call(libc::SYS_write, &[into_pipe.as_raw_fd() as usize, at, 1]))?;
    done(sys::call(libc::SYS_read, &[from_pipe.as_raw_fd() as usize, at, 1]))?;
    let _ = sys::call(libc::SYS_read, &[usize::MAX, at, 1]);
    let _ = sys::call(libc::SYS_fsync, &[9973]);
    Ok(json!({ "rows": calls.rows, "fstats": 3 }))
}

/// The workload on a new disk with this file system.
pub fn calls_on(fs: &str) -> Result<Load> {
    extra::file_system(fs)?;
    let blocks = extra::file(fs)?;
    Load::start(&["file-calls", fs, tool::arg(&blocks)])
}

/// By the name of a file system's alias, every operation on it is seen, and none by that of another.
fn sees_every_operation_on(fs: &str, other: &str) -> Result<()> {
    extra::file_system(other)?;
    let mut load = calls_on(fs)?;
    let run = |fs: &str| Tool::json(&format!("{fs}slower"), &["--min", "0", "-p", &load.pid()]);
    let (tool, other) = (run(fs)?, run(other)?);
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::are(&rows, rows::wanted(&account)?)?;
    equal("rows of this type", rows::with(&rows, "fs", &fs.into()).len(), rows.len())?;
    equal("rows by another's name", other.interrupt()?.ok()?.rows()?.len(), 0)
}

fn sees_every_operation() -> Result<()> {
    let mut load = Load::start(&["file-calls"])?;
    let tool = Tool::json("fsslower", &["--min", "0", "-p", &load.pid()])?;
    let fsyncs = Tool::json("fsslower", &["--min", "0", "--op", "fsync,copy", "-p", &load.pid()])?;
    let account = load.finish()?;
    let output = tool.interrupt()?.ok()?;
    rows::are_harmless(output.text()?, &['\n'])?;
    let want = rows::wanted(&account)?;
    rows::are(&output.rows()?, want)?;
    let want: Vec<Value> = want
        .iter()
        .filter(|row| row["operation"] == "fsync" || row["operation"] == "copy")
        .cloned()
        .collect();
    equal("rows of two operations", want.len(), 3)?;
    rows::are(&fsyncs.interrupt()?.ok()?.rows()?, &want)
}

/// Calls by the numbers of 32-bit programs, at offsets that take two arguments.
fn file_calls_32(gate: &mut Gate, _: &[String]) -> Result<Value> {
    const FAR: u64 = (3 << 32) + 7;
    let file = fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).open("/tmp")?;
    file.set_len(11)?;
    let fd = file.as_raw_fd() as usize;
    let Some(low) = sys::low_page() else {
        gate.wait(&json!({ "skip": "this kernel runs no 32-bit programs" }))?;
        return Ok(json!({}));
    };
    gate.wait(&json!({}))?;
    let results = [
        sys::call_32(3, [fd, low, 5, 0, 0]),
        sys::call_32(180, [fd, low, 5, 2, 0]),
        sys::call_32(181, [fd, low, 3, FAR as u32 as usize, (FAR >> 32) as usize]),
        sys::call_32(118, [fd, 0, 0, 0, 0]),
        // 17 is pread64 of 64-bit programs, and no call on files here.
        sys::call_32(17, [fd, low, 5, 0, 0]),
    ];
    let row = |operation: &str, bytes: Value, offset: Value| json!({ "operation": operation, "bytes": bytes, "offset": offset });
    let rows = [
        row("read", results[0].into(), 0.into()),
        row("read", results[1].into(), 2.into()),
        row("write", results[2].into(), FAR.into()),
        row("fsync", Value::Null, Value::Null),
    ];
    Ok(json!({ "rows": rows, "results": results }))
}

/// What a tool sees of 32-bit calls, and what there is to see: two reads, of five bytes each, a write of three, and
/// one call more.
pub fn seen_of_32_bit_calls(tool: &str, args: &[&str]) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut load = Load::start(&["file-calls-32"])?;
    let tool = Tool::json(tool, &[args, &["-p", &load.pid()]].concat())?;
    let account = load.finish()?;
    equal(
        "results",
        &account["results"].as_array().context("none")?[..4],
        &json!([5, 5, 3, 0]).as_array().context("none")?[..],
    )?;
    Ok((tool.interrupt()?.ok()?.rows()?, rows::wanted(&account)?.clone()))
}

fn sees_calls_of_32_bit_programs() -> Result<()> {
    let (rows, wanted) = seen_of_32_bit_calls("fsslower", &["--min", "0"])?;
    rows::are(&rows, &wanted)
}

/// How long another process holds up an open.
pub fn hold_up() -> Duration {
    Duration::from_millis(by_machine(40, 600))
}

/// Quick reads, and one open that waits for another process to give up its lease of the file.
fn file_slow_open(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let home = gate.home()?;
    fs::write(home.file("leased"), "x")?;
    let (ready, told) = std::io::pipe()?;
    let path = home.text("leased");
    let holder = sys::fork(|| hold_lease(&path, told.as_raw_fd() as usize))?;
    let mut byte = [0_u8; 1];
    done(sys::call(libc::SYS_read, &[ready.as_raw_fd() as usize, byte.as_mut_ptr() as usize, 1]))?;
    let other = fs::File::open("/proc/self/comm")?;
    gate.wait(&json!({}))?;
    for _ in 0..31 {
        done(sys::call(libc::SYS_pread64, &[other.as_raw_fd() as usize, byte.as_mut_ptr() as usize, 1, 0]))?;
    }
    let start = Instant::now();
    done(sys::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, path.as_ptr() as usize, 0, 0]))?;
    let took = start.elapsed();
    sys::wait(holder)?;
    Ok(json!({ "took_us": took.as_micros() as u64, "file": home.path().canonicalize()?.join("leased") }))
}

/// Takes a lease, says so, and gives it up some time after it is asked to.
fn hold_lease(path: &CString, told: usize) -> i32 {
    const F_SETLEASE: usize = 1024;
    let asked = 1_u64 << (libc::SIGIO - 1);
    let signals = (&raw const asked) as usize;
    let hold = || -> Result<(), Errno> {
        sys::call(libc::SYS_rt_sigprocmask, &[libc::SIG_BLOCK as usize, signals, 0, size_of::<u64>()])?;
        let fd = sys::call(
            libc::SYS_openat,
            &[libc::AT_FDCWD as usize, path.as_ptr() as usize, libc::O_RDWR as usize, 0],
        )?;
        sys::call(libc::SYS_fcntl, &[fd, F_SETLEASE, libc::F_WRLCK as usize])?;
        sys::call(libc::SYS_write, &[told, path.as_ptr() as usize, 1])?;
        sys::call(libc::SYS_rt_sigtimedwait, &[signals, 0, 0, size_of::<u64>()])?;
        thread::sleep(hold_up());
        sys::call(libc::SYS_fcntl, &[fd, F_SETLEASE, libc::F_UNLCK as usize]).map(drop)
    };
    hold().err().unwrap_or(0)
}

fn sees_what_took_long() -> Result<()> {
    let mut load = Load::start(&["file-slow-open"])?;
    let min = by_machine("20ms", "300ms");
    let tool = Tool::json("fsslower", &["--min", min, "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("rows", rows.len(), 1).with_context(|| format!("{rows:?}"))?;
    equal("operation", rows::text(&rows[0], "operation"), "open")?;
    equal("file", &rows[0]["file"], &account["file"])?;
    let latency = rows::number(&rows[0], "latency_us");
    let bounds = hold_up().as_micros() as u64..=rows::number(&account, "took_us");
    ensure!(bounds.contains(&latency), "{latency} us are not in {bounds:?}");
    Ok(())
}

/// Calls on a file system that takes its time for each, with others on one that does not.
fn file_slow_calls(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (file, quick) = (slow::file(&gate.home()?)?, fs::File::open("/proc/self/comm")?);
    let (fd, mut buffer) = (file.as_raw_fd() as usize, [0_u8; 64]);
    let at = buffer.as_mut_ptr() as usize;
    gate.wait(&json!({ "least_us": slow::delay().as_micros() as u64 }))?;
    let calls = [
        ("read", libc::SYS_pread64, [fd, at, 13, 17]),
        ("write", libc::SYS_pwrite64, [fd, at, 19, 23]),
        ("fsync", libc::SYS_fsync, [fd, 0, 0, 0]),
        ("read", libc::SYS_pread64, [fd, at, 7, 29]),
    ];
    let mut rows = Vec::new();
    for (operation, number, args) in calls {
        done(sys::call(libc::SYS_pread64, &[quick.as_raw_fd() as usize, at, 1, 0]))?;
        let start = Instant::now();
        let bytes = done(sys::call(number, &args))?;
        let took_us = start.elapsed().as_micros() as u64;
        let transfers = operation != "fsync";
        rows.push(json!({
            "fs": "fuse", "operation": operation, "error": null, "took_us": took_us,
            "bytes": transfers.then_some(bytes), "offset": transfers.then_some(args[3]),
        }));
    }
    Ok(json!({ "rows": rows }))
}

/// The rows of slow calls on a slow file system are those of the account, and their latencies true.
pub fn sees_slow_calls(tool: &str, operations: &[&str]) -> Result<()> {
    extra::file_system("fuse")?;
    let mut load = Load::start(&["file-slow-calls"])?;
    let least = rows::number(&load.setup, "least_us");
    let tool = Tool::json(tool, &["--min", &format!("{least}us"), "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let mut want = rows::wanted(&account)?.clone();
    want.retain(|row| operations.contains(&rows::text(row, "operation")));
    equal("rows", rows.len(), want.len())?;
    for (row, want) in rows.iter().zip(&mut want) {
        let took = want["took_us"].take().as_u64().unwrap_or(0);
        let bounds = least..=took;
        ensure!(bounds.contains(&rows::number(row, "latency_us")), "not within {bounds:?} us: {row}");
        want.as_object_mut().map(|want| want.remove("took_us"));
    }
    rows::are(&rows, &want)
}

fn measures_a_slow_file_system() -> Result<()> {
    sees_slow_calls("fuseslower", &["read", "write", "fsync"])
}

/// Reads on two file systems.
fn file_systems(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let home = gate.home()?.path().to_owned();
    let (proc, own) = (fs::File::open("/proc/self/comm")?, fs::File::open(&home)?);
    let mut byte = [0_u8; 1];
    let at = byte.as_mut_ptr() as usize;
    gate.wait(&json!({ "fs": fs_of(&home)? }))?;
    for _ in 0..11 {
        done(sys::call(libc::SYS_pread64, &[proc.as_raw_fd() as usize, at, 1, 0]))?;
    }
    for _ in 0..7 {
        done(sys::call(libc::SYS_fsync, &[own.as_raw_fd() as usize]))?;
    }
    Ok(json!({}))
}

fn chooses_file_systems() -> Result<()> {
    let mut load = Load::start(&["file-systems"])?;
    let fs = rows::text(&load.setup, "fs").to_owned();
    let run = |types: &str, pid: &str| Tool::json("fsslower", &["--min", "0", "--fs", types, "-p", pid]);
    let (proc, sys, both) = (
        run("proc", &load.pid())?,
        run("sysfs", &load.pid())?,
        run(&format!("nosuch,proc,{fs}"), &load.pid())?,
    );
    load.finish()?;
    let rows = proc.interrupt()?.ok()?.rows()?;
    equal("rows of proc", rows.len(), 11)?;
    equal("rows whose fs is proc", rows::with(&rows, "fs", &"proc".into()).len(), 11)?;
    equal("rows of sysfs", sys.interrupt()?.ok()?.rows()?.len(), 0)?;
    let rows = both.interrupt()?.ok()?.rows()?;
    equal("rows of both", rows.len(), 18)?;
    equal("rows whose fs is the other", rows::with(&rows, "fs", &fs.into()).len(), 7)
}

/// By the name ext4slower, given or linked to, only ext4 is traced.
fn an_alias_chooses_its_file_system() -> Result<()> {
    let scratch = Scratch::new()?;
    let link = scratch.program("ext4slower", &tool::path()?)?;
    let mut load = Load::start(&["file-systems"])?;
    let args = ["--json", "--min", "0", "-p", &load.pid()].map(String::from);
    if !fs::read_to_string("/proc/filesystems")?.lines().any(|line| line.ends_with("\text4")) {
        let line = tracer(&args).program(&link).output()?.fails(4)?.to_owned();
        ensure!(line.contains("ext4"), "the reason is {line:?}");
        return Ok(());
    }
    let linked = tracer(&args).program(&link).start()?;
    let given = Tool::json("ext4slower", &["--min", "0", "-p", &load.pid()])?;
    let want = if rows::text(&load.setup, "fs") == "ext4" { 7 } else { 0 };
    load.finish()?;
    for tool in [linked, given] {
        equal("rows", tool.interrupt()?.ok()?.rows()?.len(), want)?;
    }
    Ok(())
}

fn refuses_what_is_not_there() -> Result<()> {
    let line = tracer(&["fsslower", "--op", "read,nosuch"]).output()?.fails(2)?.to_owned();
    ensure!(line.contains("nosuch") && line.contains("fsync"), "the reason is {line:?}");
    let line = tracer(&["fsslower", "--fs", "nosuch"]).output()?.fails(4)?.to_owned();
    ensure!(line.contains("nosuch"), "the reason is {line:?}");
    tracer(&["fsslower", "--min", "soon"]).output()?.fails(2).map(drop)
}
