//! opensnoop: the open family, with what each call returned and the path as it was given.

use std::{
    env,
    ffi::{CStr, CString},
    fs,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, symlink},
    },
    path::Path,
    time::{Duration, Instant},
};

use libc::{
    O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_TMPFILE,
    O_TRUNC, O_WRONLY,
};

use crate::{
    harness::{
        Context, Gate, Load, Place, Result, Scratch, Suite, Test, Tool, Value, Workload, by_machine, ensure,
        equal, in_vm, json,
        load::{NOBODY, comm, count},
        patience, rows, sys, tracer,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "opensnoop",
    standard: Some(Standard {
        tool: "opensnoop",
        shape: Shape::Snoop,
        args: &[],
        keys: &["pid", "tid", "uid", "comm", "fd", "errno", "error", "flags", "mode", "path"],
        table: &["pid", "comm", "fd", "error", "flags", "mode", "path"],
        load: &["opens", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_every_open", sees_every_open),
        Test::new("sees_failures_only", sees_failures_only),
        Test::new("gives_full_paths", gives_full_paths),
        Test::new("reads_names_on_untouched_pages", reads_names_on_untouched_pages),
        Test::new("gives_long_paths_whole", gives_long_paths_whole),
        Test::new("no_name_forges_a_row", no_name_forges_a_row),
        Test::new("shows_an_open_at_once", shows_an_open_at_once),
        Test::new("tells_the_time_of_the_open", tells_the_time_of_the_open),
        Test::new("loses_none_of_100000", loses_none_of_100000),
    ],
    workloads: &[
        Workload::new("opens", opens),
        Workload::new("open-table", open_table),
        Workload::new("open-places", open_places),
        Workload::new("open-fresh-pages", open_fresh_pages),
        Workload::new("open-long", open_long),
        Workload::new("open-names", open_names),
        Workload::new("open-timed", open_timed),
        Workload::new("open-storm", open_storm),
    ],
};

/// The calls of the family.
#[derive(Clone, Copy)]
enum How {
    Open,
    Openat,
    Openat2,
    Creat,
}

const EVERY_HOW: [How; 4] = [How::Open, How::Openat, How::Openat2, How::Creat];

/// Not every architecture has the older calls.
#[cfg(target_arch = "x86_64")]
const OLD: Option<(libc::c_long, libc::c_long)> = Some((libc::SYS_open, libc::SYS_creat));
#[cfg(not(target_arch = "x86_64"))]
const OLD: Option<(libc::c_long, libc::c_long)> = None;

const CREAT: i32 = O_CREAT | O_WRONLY | O_TRUNC;

/// Opens and closes, and returns the row that this must make.
fn attempt(how: How, dir: i32, path: &CStr, flags: i32, mode: u32) -> Value {
    let at = path.as_ptr() as usize;
    let (flags, mode) = match how {
        How::Creat => (CREAT, mode),
        _ => (flags, mode),
    };
    let (bits, mode_bits) = (flags as usize, mode as usize);
    let result = match (how, OLD) {
        (How::Open, Some((open, _))) => sys::call(open, &[at, bits, mode_bits]),
        (How::Creat, Some((_, creat))) => sys::call(creat, &[at, mode_bits]),
        (How::Openat2, _) => openat2(dir, path, flags, mode),
        _ => sys::call(libc::SYS_openat, &[dir as usize, at, bits, mode_bits]),
    };
    if let Ok(fd) = result {
        let _ = sys::close(fd);
    }
    row(result, flags, mode, &path.to_string_lossy())
}

fn openat2(dir: i32, path: &CStr, flags: i32, mode: u32) -> Result<usize, sys::Errno> {
    /// struct open_how of the kernel.
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let how = OpenHow { flags: flags as u64, mode: mode.into(), resolve: 0 };
    let args = [dir as usize, path.as_ptr() as usize, (&raw const how) as usize, size_of::<OpenHow>()];
    sys::call(libc::SYS_openat2, &args)
}

fn row(result: Result<usize, sys::Errno>, flags: i32, mode: u32, path: &str) -> Value {
    let errno = result.err();
    let creates = flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE;
    json!({
        "pid": sys::pid(),
        "tid": sys::tid(),
        "uid": sys::uid(),
        "comm": comm(),
        "fd": result.ok(),
        "errno": errno.unwrap_or(0),
        "error": errno.and_then(sys::errno_name),
        "flags": flag_names(flags),
        "mode": creates.then(|| format!("{mode:04o}")),
        "path": path,
    })
}

fn flag_names(flags: i32) -> String {
    const NAMES: &[(i32, &str)] = &[
        (O_CREAT, "O_CREAT"),
        (O_EXCL, "O_EXCL"),
        (O_TRUNC, "O_TRUNC"),
        (O_APPEND, "O_APPEND"),
        (O_NONBLOCK, "O_NONBLOCK"),
        (O_NOFOLLOW, "O_NOFOLLOW"),
        (O_CLOEXEC, "O_CLOEXEC"),
        (O_TMPFILE, "O_TMPFILE"),
        (O_DIRECTORY, "O_DIRECTORY"),
    ];
    let mut names = vec![["O_RDONLY", "O_WRONLY", "O_RDWR"][(flags & libc::O_ACCMODE) as usize]];
    let mut left = flags & !libc::O_ACCMODE;
    for (flag, name) in NAMES {
        if left & flag == *flag {
            names.push(name);
            left &= !flag;
        }
    }
    names.join("|")
}

/// Opens /dev/null, by every call in turn.
fn opens(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    gate.wait(&json!({}))?;
    let how = EVERY_HOW.into_iter().cycle().take(times as usize);
    let rows: Vec<_> = how.map(|how| attempt(how, libc::AT_FDCWD, c"/dev/null", O_RDONLY, 0)).collect();
    Ok(json!({ "rows": rows }))
}

/// Opens of all sorts in a directory, most of them by every call.
fn open_table(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let home = gate.home()?;
    let name = |name: &str| home.text(name);
    fs::write(home.file("file"), "")?;
    symlink("file", home.file("link"))?;
    let directory = fs::File::open(home.path())?;
    let (here, nowhere) = (directory.as_raw_fd(), -1);
    let file = name("file");
    let table: &[(&CStr, i32, u32)] = &[
        (&file, O_RDONLY, 0),
        (&file, O_RDWR | O_CLOEXEC, 0),
        (&file, O_WRONLY | O_APPEND | O_NONBLOCK, 0),
        (&name("missing"), O_RDWR, 0),
        (&name("new"), O_RDWR | O_CREAT | O_EXCL, 0o640),
        (&name("new"), O_RDWR | O_CREAT | O_EXCL, 0o640),
        (&name("new"), O_WRONLY | O_CREAT | O_TRUNC, 0o4755),
        (&name(""), O_RDONLY | O_DIRECTORY, 0),
        (&name(""), O_WRONLY, 0),
        (&name("file/x"), O_RDONLY, 0),
        (&name("link"), O_RDONLY | O_NOFOLLOW, 0),
        (&name(""), O_RDWR | O_TMPFILE, 0o600),
        (c"", O_RDONLY, 0),
    ];
    let relative: &[(i32, &CStr)] =
        &[(here, c"file"), (here, c"./missing"), (nowhere, c"file"), (here, &file)];
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for how in EVERY_HOW {
        for (path, flags, mode) in table {
            rows.push(attempt(how, libc::AT_FDCWD, path, *flags, *mode));
        }
        let _ = fs::remove_file(home.file("new"));
    }
    for how in [How::Openat, How::Openat2] {
        for (dir, path) in relative {
            rows.push(attempt(how, *dir, path, O_RDONLY, 0));
        }
    }
    let unreadable = sys::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, 0, 0, 0]);
    let mut unreadable = row(unreadable, O_RDONLY, 0, "");
    unreadable["path"] = Value::Null;
    rows.push(unreadable);
    if let [locked] = args {
        rows.push(attempt(How::Openat, libc::AT_FDCWD, &sys::text(locked.as_str()), O_RDONLY, 0));
    }
    Ok(json!({ "rows": rows }))
}

fn sees_every_open() -> Result<()> {
    let mut load = Load::start(&["open-table"])?;
    let tool = Tool::json("opensnoop", &["-p", &load.pid()])?;
    let account = load.finish()?;
    rows::are(&tool.interrupt()?.ok()?.rows()?, rows::wanted(&account)?)
}

fn sees_failures_only() -> Result<()> {
    let locked = tempfile::NamedTempFile::new()?;
    let path = locked.path().to_str().context("not text")?;
    let mut load = Load::plan(&["open-table", path]).user(NOBODY).start()?;
    let tool = Tool::json("opensnoop", &["-x", "-p", &load.pid()])?;
    let account = load.finish()?;
    let mut want = rows::wanted(&account)?.clone();
    want.retain(|row| row["errno"] != 0);
    ensure!(want.iter().any(|row| row["error"] == "EACCES"), "the workload was not refused");
    rows::are(&tool.interrupt()?.ok()?.rows()?, &want)
}

/// Opens from all sorts of places, and returns the full paths.
fn open_places(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let home = Place::new(gate.home()?.path().canonicalize()?);
    let path = |name: &str| home.file(name);
    sys::own_mounts()?;
    for directory in ["a", "a/b", "mounted", "bound", "gone"] {
        fs::create_dir(path(directory))?;
    }
    sys::mount_tmpfs(&home.text("mounted"))?;
    fs::create_dir(path("mounted/inner"))?;
    sys::mount_bind(&home.text("a"), &home.text("bound"))?;
    for file in ["top", "a/f", "a/b/f", "mounted/f", "mounted/inner/f"] {
        fs::write(path(file), "")?;
    }
    symlink("a/f", path("link"))?;
    let deep = ["d".repeat(29).as_str(); 100].join("/");
    fs::create_dir_all(path(&deep))?;
    let a = fs::File::open(path("a"))?;
    let mounted = fs::File::open(path("mounted"))?;
    let bound = fs::File::open(path("bound"))?;

    // From where (a directory to go to, or a descriptor), what, and the full path of it.
    let cwd = libc::AT_FDCWD;
    let table: &[(&str, i32, &str, String)] = &[
        ("", cwd, "top", "top".into()),
        ("", cwd, "missing", "missing".into()),
        ("", cwd, "a/b/../../top", "top".into()),
        ("", cwd, "link", "a/f".into()),
        ("a/b", cwd, "f", "a/b/f".into()),
        ("a/b", cwd, "./missing", "a/b/./missing".into()),
        ("a/b", a.as_raw_fd(), "f", "a/f".into()),
        ("a/b", a.as_raw_fd(), "missing", "a/missing".into()),
        ("mounted", cwd, "f", "mounted/f".into()),
        ("mounted/inner", cwd, "f", "mounted/inner/f".into()),
        ("mounted/inner", cwd, "missing", "mounted/inner/missing".into()),
        ("a", mounted.as_raw_fd(), "inner/f", "mounted/inner/f".into()),
        ("a", mounted.as_raw_fd(), "missing", "mounted/missing".into()),
        ("bound", cwd, "b/f", "bound/b/f".into()),
        ("a", bound.as_raw_fd(), "f", "bound/f".into()),
        ("a", cwd, "../mounted/f", "mounted/f".into()),
        (&deep, cwd, "missing", format!("{deep}/missing")),
        (&deep, cwd, ".", deep.clone()),
    ];
    let directories: Vec<CString> = table.iter().map(|(place, ..)| home.text(*place)).collect();
    let names: Vec<CString> = table.iter().map(|(_, _, name, _)| sys::text(*name)).collect();
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for (((_, dir, _, full), place), name) in table.iter().zip(&directories).zip(&names) {
        sys::call(libc::SYS_chdir, &[place.as_ptr() as usize]).map_err(std::io::Error::from_raw_os_error)?;
        let mut row = attempt(How::Openat, *dir, name, O_RDONLY, 0);
        row["path"] = path(full).into();
        rows.push(row);
    }
    rows.push(attempt(How::Openat, cwd, &home.text("missing"), O_RDONLY, 0));
    env::set_current_dir(path("gone"))?;
    fs::remove_dir(path("gone"))?;
    let mut row = attempt(How::Openat, cwd, c"missing", O_RDONLY, 0);
    row["path"] = Value::Null;
    rows.push(row);
    env::set_current_dir("/")?;
    rows.push(attempt(How::Openat, cwd, c"/", O_RDONLY, 0));
    Ok(json!({ "rows": rows, "gone": path("gone") }))
}

fn gives_full_paths() -> Result<()> {
    let mut load = Load::start(&["open-places"])?;
    let tool = Tool::json("opensnoop", &["--full-path", "-p", &load.pid()])?;
    let account = load.finish()?;
    let mut got = tool.interrupt()?.ok()?.rows()?;
    let want = rows::wanted(&account)?;
    // How a directory that is gone is named is not laid down, but its path must be there.
    let gone = rows::text(&account, "gone");
    if let Some(index) = want.iter().position(|row| row["path"].is_null()) {
        let path = got.get_mut(index).context("a row is missing")?["path"].take();
        let path = path.as_str().unwrap_or("");
        ensure!(path.starts_with(gone) && path.ends_with("/missing"), "in {gone}: {path}");
    }
    rows::are(&got, want)
}

/// Opens by names on pages that the process has never touched.
fn open_fresh_pages(gate: &mut Gate, _: &[String]) -> Result<Value> {
    const PAGE: usize = 4096;
    const PAGES: usize = 11;
    let home = gate.home()?;
    fs::write(home.file("present"), "")?;
    let names: Vec<CString> = (0..PAGES)
        .map(|index| match index % 2 {
            0 => home.text("present"),
            _ => home.text(format!("missing-{index}")),
        })
        .collect();
    let file = tempfile::tempfile()?;
    file.set_len((PAGE * PAGES) as u64)?;
    for (index, name) in names.iter().enumerate() {
        // Right at the end, so that the next page is another mapping's business.
        let bytes = name.as_bytes_with_nul();
        file.write_all_at(bytes, ((index + 1) * PAGE - bytes.len()) as u64)?;
    }
    let (prot, flags) = (libc::PROT_READ as usize, libc::MAP_PRIVATE as usize);
    let args = [0, PAGE * PAGES, prot, flags, file.as_raw_fd() as usize, 0];
    let start = sys::call(libc::SYS_mmap, &args).map_err(std::io::Error::from_raw_os_error)?;
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for (index, name) in names.iter().enumerate() {
        // Faults would map pages around the one that is touched.
        let forget = [start, PAGE * PAGES, libc::MADV_DONTNEED as usize];
        let _ = sys::call(libc::SYS_madvise, &forget);
        let at = start + (index + 1) * PAGE - name.as_bytes_with_nul().len();
        let result = sys::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, at, 0, 0]);
        if let Ok(fd) = result {
            let _ = sys::close(fd);
        }
        rows.push(row(result, O_RDONLY, 0, &name.to_string_lossy()));
    }
    Ok(json!({ "rows": rows }))
}

fn reads_names_on_untouched_pages() -> Result<()> {
    let mut load = Load::start(&["open-fresh-pages"])?;
    let tool = Tool::json("opensnoop", &["-p", &load.pid()])?;
    let account = load.finish()?;
    rows::are(&tool.interrupt()?.ok()?.rows()?, rows::wanted(&account)?)
}

/// Opens by paths as long as can be, and longer.
fn open_long(gate: &mut Gate, _: &[String]) -> Result<Value> {
    const LONGEST: usize = libc::PATH_MAX as usize - 1;
    let home = gate.home()?;
    fs::write(home.file("f"), "")?;
    let padded = |len: usize, name: &str| {
        let left = len - home.arg().len() - name.len() - 1;
        let padding = format!("{}{}", "/".repeat(left % 2), "./".repeat(left / 2));
        home.text(padding + name)
    };
    let paths = [
        padded(LONGEST, "f"),
        padded(LONGEST - 1, "f"),
        padded(LONGEST, "missing"),
        padded(LONGEST, &"x".repeat(255)),
        padded(2048, "f"),
    ];
    let too_long = padded(LONGEST + 1, "f");
    gate.wait(&json!({}))?;
    let mut rows: Vec<_> =
        paths.iter().map(|path| attempt(How::Openat, libc::AT_FDCWD, path, O_RDONLY, 0)).collect();
    let mut row = attempt(How::Openat, libc::AT_FDCWD, &too_long, O_RDONLY, 0);
    // Of this one, the kernel itself reads no more than the start.
    row.as_object_mut().context("not an object")?.remove("path");
    rows.push(row);
    let lengths: Vec<_> = paths.iter().map(|path| path.as_bytes().len()).collect();
    equal("length", lengths[0], LONGEST)?;
    Ok(json!({ "rows": rows }))
}

fn gives_long_paths_whole() -> Result<()> {
    let mut load = Load::start(&["open-long"])?;
    let tool = Tool::json("opensnoop", &["-p", &load.pid()])?;
    let account = load.finish()?;
    rows::are(&tool.interrupt()?.ok()?.rows()?, rows::wanted(&account)?)
}

/// Names that would forge rows, drive a terminal or break a format.
const NAMES: &[&[u8]] = &[
    b"two\nlines",
    b"\n1234 forged 3 - O_RDONLY - /etc/shadow",
    b"carriage\rreturn",
    b"tab\there",
    b"\x1b[31mred\x1b]0;title\x07",
    b"\xff\xfenot UTF-8\xc3",
    b"a\xc2\x9b31mb",
    "\u{202e}gpj.exe".as_bytes(),
    "line\u{2028}break".as_bytes(),
    b"quote\"comma,back\\slash'",
    b"{\"ts\":\"forged\"}",
    b"-",
    b"  blanks  ",
    b"\x7f",
    "\u{3042}\u{1f980}".as_bytes(),
];

fn open_names(gate: &mut Gate, _: &[String]) -> Result<Value> {
    env::set_current_dir(gate.home()?.path())?;
    let names: Vec<CString> = NAMES.iter().map(|name| sys::text(*name)).collect();
    gate.wait(&json!({}))?;
    let mut rows: Vec<_> =
        names.iter().map(|name| attempt(How::Openat, libc::AT_FDCWD, name, O_RDONLY, 0)).collect();
    // A byte that is not UTF-8 reads as its escape.
    for row in rows.iter_mut().filter(|row| rows::text(row, "path").contains('\u{fffd}')) {
        row["path"] = r"\xff\xfenot UTF-8\xc3".into();
    }
    Ok(json!({ "rows": rows }))
}

fn no_name_forges_a_row() -> Result<()> {
    for (format, breaks) in [("table", &['\n'][..]), ("csv", &['\n']), ("tsv", &['\n', '\t'])] {
        let mut load = Load::start(&["open-names"])?;
        let tool = Tool::text("opensnoop", &["-F", format, "-p", &load.pid()])?;
        load.finish()?;
        let output = tool.interrupt()?.ok()?;
        rows::are_harmless(output.text()?, breaks)?;
        equal(&format!("lines of {format}"), output.lines()?.len(), NAMES.len() + 1)?;
    }
    let mut load = Load::start(&["open-names"])?;
    let tool = Tool::json("opensnoop", &["-p", &load.pid()])?;
    let account = load.finish()?;
    let output = tool.interrupt()?.ok()?;
    rows::are_harmless(output.text()?, &['\n'])?;
    rows::are(&output.rows()?, rows::wanted(&account)?)
}

fn shows_an_open_at_once() -> Result<()> {
    let mut load = Load::start(&["opens", "1"])?;
    let mut tool = Tool::json("opensnoop", &["-p", &load.pid()])?;
    let start = Instant::now();
    load.go()?;
    let row = tool.row()?;
    let took = start.elapsed();
    // 50 ms are promised; a busy machine takes its time to run everybody.
    ensure!(took < by_machine(Duration::from_secs(1), patience()), "the row took {took:?}");
    rows::are(&[row], rows::wanted(&load.done()?)?)?;
    tool.interrupt()?.ok().map(drop)
}

/// Opens a file, and says between what times of day.
fn open_timed(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let before = sys::unix_time();
    let row = attempt(How::Openat, libc::AT_FDCWD, c"/", O_RDONLY, 0);
    let after = sys::unix_time();
    Ok(json!({ "rows": [row], "from": before.as_secs_f64(), "to": after.as_secs_f64() }))
}

fn tells_the_time_of_the_open() -> Result<()> {
    /// The clocks are compared once, when the tool starts.
    const SLACK: f64 = 0.005;
    const DAY: f64 = 86_400.0;
    let mut load = Load::start(&["open-timed"])?;
    let tool = Tool::json("opensnoop", &["-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let time = rows::seconds_of_day(rows.first().context("no row")?)?;
    let bound = |key: &str| account[key].as_f64().unwrap_or(0.0) % DAY;
    let (from, to) = (bound("from"), bound("to"));
    let inside = (from - SLACK..=to + SLACK).contains(&time);
    ensure!(inside || from > to, "{time} is not from {from} to {to}");
    Ok(())
}

/// Opens and closes a file as fast as it goes.
fn open_storm(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    gate.wait(&json!({}))?;
    for _ in 0..times {
        let args = [libc::AT_FDCWD as usize, c"/dev/null".as_ptr() as usize, 0, 0];
        let fd = sys::call(libc::SYS_openat, &args).map_err(std::io::Error::from_raw_os_error)?;
        let _ = sys::close(fd);
    }
    Ok(json!({ "made": times }))
}

fn loses_none_of_100000() -> Result<()> {
    const MADE: u64 = 100_000;
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    let mut load = Load::start(&["open-storm", &MADE.to_string()])?;
    let tool = tracer(&["opensnoop", "--json", "-o", &file, "-p", &load.pid()]).start()?;
    load.finish()?;
    let output = tool.interrupt()?;
    equal("exit code", output.code, 0).context(output.to_string())?;
    let rows = rows::parse(&fs::read_to_string(Path::new(&file))?)?;
    equal("rows and lost events", rows.len() as u64 + output.lost(), MADE)?;
    if !in_vm() {
        equal("lost events", output.lost(), 0)?;
    }
    Ok(())
}
