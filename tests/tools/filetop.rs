//! filetop: reads and writes by process and file, or by directory.

use std::{
    fs,
    io::pipe,
    os::{
        fd::AsRawFd,
        unix::{fs::FileExt, net::UnixStream},
    },
};

use super::fsslower::{NAME, done, seen_of_32_bit_calls};
use crate::{
    harness::{
        Context, Gate, Load, Place, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json, rows,
        sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "filetop",
    standard: Some(Standard {
        tool: "filetop",
        shape: Shape::Top,
        args: &[],
        keys: &["pid", "comm", "reads", "writes", "read_bytes", "write_bytes", "type", "file"],
        table: &["pid", "comm", "reads", "writes", "read_bytes", "write_bytes", "type", "file"],
        load: &["file-reads", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("counts_every_byte", counts_every_byte),
        Test::new("counts_by_directory", counts_by_directory),
        Test::new("counts_other_files_on_demand", counts_other_files_on_demand),
        Test::new("counts_calls_of_32_bit_programs", counts_calls_of_32_bit_programs),
        Test::new("sorts_by_bytes", sorts_by_bytes),
        Test::new("knows_names_in_every_interval", knows_names_in_every_interval),
    ],
    workloads: &[
        Workload::new("file-traffic", file_traffic),
        Workload::new("file-kinds", file_kinds),
        Workload::new("file-rounds", file_rounds),
    ],
};

/// The bytes that the kernel says this process has read and written, and the length of its word.
fn own_io() -> Result<(u64, u64, u64)> {
    let text = fs::read_to_string("/proc/self/io")?;
    let field = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
        Ok(line.trim().parse()?)
    };
    Ok((field("rchar:")?, field("wchar:")?, text.len() as u64))
}

/// Reads and writes of every kind, with the counters that each file must have.
fn file_traffic(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let home = Place::new(gate.home()?.path().canonicalize()?);
    fs::create_dir(home.path().join("d"))?;
    let (a, b) = (home.path().join("d/a"), home.path().join(NAME));
    let open = |path| fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
    let (file_a, file_b, directory) = (open(&a)?, open(&b)?, fs::File::open(home.path())?);
    let (fd_a, fd_b) = (file_a.as_raw_fd() as usize, file_b.as_raw_fd() as usize);
    let (from_pipe, into_pipe) = pipe()?;
    let mut buffer = [7_u8; 64];
    let at = buffer.as_mut_ptr() as usize;
    let vector = [[at, 17], [at, 2]];
    let vector = vector.as_ptr() as usize;
    gate.wait(&json!({}))?;
    let (read_before, written_before, read_for_that) = own_io()?;
    let many = |times: usize, number, args: &[usize]| -> Result<usize> {
        (0..times).map(|_| done(sys::call(number, args))).sum()
    };
    equal("written", many(101, libc::SYS_write, &[fd_a, at, 17])?, 1717)?;
    equal("written", many(13, libc::SYS_pwritev, &[fd_b, vector, 2, 0, 0])?, 247)?;
    equal("read", many(53, libc::SYS_pread64, &[fd_a, at, 31, 5])?, 1643)?;
    equal("read", many(7, libc::SYS_preadv, &[fd_a, vector, 2, 3, 0])?, 133)?;
    // At the end there is nothing left to read, which is a read too; one that fails is none.
    equal("read", many(3, libc::SYS_read, &[fd_a, at, 5])?, 0)?;
    equal("failed", sys::call(libc::SYS_read, &[directory.as_raw_fd() as usize, at, 1]), Err(libc::EISDIR))?;
    let (mut sent, mut copied) = (0_u64, 0_u64);
    let sends = [fd_b, fd_a, (&raw mut sent) as usize, 29];
    equal("sent", many(5, libc::SYS_sendfile, &sends)?, 145)?;
    let copies = [fd_a, (&raw mut copied) as usize, fd_b, 0, 37, 0];
    equal("copied", many(11, libc::SYS_copy_file_range, &copies)?, 407)?;
    let (read, written, _) = own_io()?;
    // From a file to a pipe and on to a file: the kernel does not count these as read and written.
    let mut position = 0_u64;
    let (from, into) = (from_pipe.as_raw_fd() as usize, into_pipe.as_raw_fd() as usize);
    equal(
        "spliced",
        done(sys::call(libc::SYS_splice, &[fd_a, (&raw mut position) as usize, into, 0, 41, 0]))?,
        41,
    )?;
    equal("spliced", done(sys::call(libc::SYS_splice, &[from, 0, fd_b, 0, 41, 0]))?, 41)?;
    Ok(json!({
        "home": home.arg(),
        "read": read - read_before - read_for_that,
        "written": written - written_before,
        "rows": [
            { "file": a, "type": "file", "comm": "tracer-tests", "reads": 53 + 7 + 3 + 5 + 11 + 1, "writes": 101,
              "read_bytes": 1643 + 133 + 145 + 407 + 41, "write_bytes": 1717 },
            { "file": b, "type": "file", "comm": "tracer-tests", "reads": 0, "writes": 13 + 5 + 11 + 1,
              "read_bytes": 0, "write_bytes": 247 + 145 + 407 + 41 },
        ],
    }))
}

/// The rows whose file, or directory, is below the workload's home.
fn at_home(rows: &[Value], key: &str, account: &Value) -> Vec<Value> {
    let is_at_home = |row: &&Value| rows::text(row, key).starts_with(rows::text(account, "home"));
    rows.iter().filter(is_at_home).cloned().collect()
}

fn counts_every_byte() -> Result<()> {
    let mut load = Load::start(&["file-traffic"])?;
    let tool = Tool::json("filetop", &["-p", &load.pid()])?;
    let account = load.finish()?;
    let output = tool.interrupt()?.ok()?;
    rows::are_harmless(output.text()?, &['\n'])?;
    let rows = at_home(&output.rows()?, "file", &account);
    rows::are_in_any_order(&rows, rows::wanted(&account)?, &["file"])?;
    // All but what was spliced, the kernel has counted too.
    equal("bytes read", rows::sum(&rows, "read_bytes"), rows::number(&account, "read") + 41)?;
    equal("bytes written", rows::sum(&rows, "write_bytes"), rows::number(&account, "written") + 41)
}

fn counts_calls_of_32_bit_programs() -> Result<()> {
    let (rows, _) = seen_of_32_bit_calls("filetop", &[])?;
    let sums = ["reads", "writes", "read_bytes", "write_bytes"].map(|key| rows::sum(&rows, key));
    equal("reads, writes, bytes read, bytes written", sums, [2, 1, 10, 3])
}

fn counts_by_directory() -> Result<()> {
    let mut load = Load::start(&["file-traffic"])?;
    let pid = load.pid();
    let tools = [Tool::json("filetop", &["--dir", "-p", &pid])?, Tool::json("dirtop", &["-p", &pid])?];
    let account = load.finish()?;
    let mut want = rows::wanted(&account)?.clone();
    for row in &mut want {
        let file = rows::text(row, "file").to_owned();
        let row = row.as_object_mut().context("not an object")?;
        row.retain(|key, _| !matches!(key.as_str(), "file" | "type" | "comm"));
        row.insert("directory".to_owned(), file.rsplit_once('/').context("no directory")?.0.into());
    }
    for tool in tools {
        let rows = tool.interrupt()?.ok()?.rows()?;
        rows::have_keys(&rows, &["reads", "writes", "read_bytes", "write_bytes", "directory"])?;
        rows::are_in_any_order(&at_home(&rows, "directory", &account), &want, &["directory"])?;
    }
    Ok(())
}

/// Traffic on what is no file on a disk.
fn file_kinds(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (from_pipe, into_pipe) = pipe()?;
    let (mine, yours) = UnixStream::pair()?;
    let zero = fs::File::open("/dev/zero")?;
    let memory = sys::own(sys::call(libc::SYS_memfd_create, &[c"of \n mine".as_ptr() as usize, 0]))?;
    let memory = fs::File::from(memory);
    let mut buffer = [7_u8; 64];
    let at = buffer.as_mut_ptr() as usize;
    gate.wait(&json!({}))?;
    for (number, fd, len) in [
        (libc::SYS_write, into_pipe.as_raw_fd(), 13),
        (libc::SYS_read, from_pipe.as_raw_fd(), 13),
        (libc::SYS_write, mine.as_raw_fd(), 17),
        (libc::SYS_read, yours.as_raw_fd(), 17),
        (libc::SYS_read, zero.as_raw_fd(), 19),
    ] {
        equal("bytes", done(sys::call(number, &[fd as usize, at, len]))?, len)?;
    }
    memory.write_all_at(&buffer[..23], 0)?;
    Ok(json!({}))
}

fn counts_other_files_on_demand() -> Result<()> {
    let mut load = Load::start(&["file-kinds"])?;
    let files = Tool::json("filetop", &["-p", &load.pid()])?;
    let all = Tool::json("filetop", &["--all", "-p", &load.pid()])?;
    load.finish()?;
    let rows = files.interrupt()?.ok()?.rows()?;
    rows::are(
        &rows,
        &[json!({ "type": "file", "file": "memfd:of \n mine", "writes": 1, "write_bytes": 23 })],
    )?;
    let rows = all.interrupt()?.ok()?.rows()?;
    let expect = |kind: &str, reads: u64, writes: u64| {
        let rows = rows::with(&rows, "type", &kind.into());
        let got = (rows::sum(&rows, "read_bytes"), rows::sum(&rows, "write_bytes"));
        equal(&format!("bytes of {kind}: {rows:?}"), got, (reads, writes))
    };
    expect("socket", 17, 17)?;
    expect("chr", 19, 0)?;
    expect("file", 0, 23)?;
    // The workload's account goes through a pipe too.
    let pipes = rows::with(&rows, "type", &"pipe".into());
    ensure!(pipes.iter().any(|row| row["read_bytes"] == 13 && row["file"] == "pipe"), "no pipe: {rows:?}");
    ensure!(rows.iter().any(|row| row["file"] == "/dev/zero"), "no /dev/zero: {rows:?}");
    Ok(())
}

fn sorts_by_bytes() -> Result<()> {
    let mut load = Load::start(&["file-traffic"])?;
    let tool = Tool::json("filetop", &["--rows", "1", "-p", &load.pid()])?;
    let account = load.finish()?;
    rows::are(&tool.interrupt()?.ok()?.rows()?, &rows::wanted(&account)?[..1])
}

/// Writes a file, and once more when it is told to.
fn file_rounds(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let home = Place::new(gate.home()?.path().canonicalize()?);
    let file = fs::File::create(home.file("rounds"))?;
    gate.wait(&json!({ "file": home.file("rounds") }))?;
    file.write_all_at(b"one", 0)?;
    gate.wait(&json!({}))?;
    file.write_all_at(b"seven..", 0)?;
    Ok(json!({}))
}

fn knows_names_in_every_interval() -> Result<()> {
    let mut load = Load::start(&["file-rounds"])?;
    let mut tool = Tool::json("filetop", &["-p", &load.pid(), "100ms"])?;
    let mut rows = Vec::new();
    load.go()?;
    rows.push(tool.row()?);
    load.line()?;
    load.finish()?;
    rows.push(tool.row()?);
    let file = load.setup["file"].clone();
    let want = [3, 7].map(|bytes| json!({ "file": file, "writes": 1, "write_bytes": bytes }));
    rows::are(&rows, &want)?;
    tool.interrupt()?.ok().map(drop)
}
