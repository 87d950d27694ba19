//! execsnoop: every exec with its arguments whole, and those that fail.

use std::{
    ffi::CString,
    fs::{self, Permissions},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    thread,
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, by_machine, ensure, equal, json,
        load::{EXIT_VARIABLE, NOBODY, WORD, comm, count, this_program},
        rows, sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "execsnoop",
    standard: Some(Standard {
        tool: "execsnoop",
        shape: Shape::Snoop,
        args: &[],
        keys: &["pid", "tid", "ppid", "uid", "comm", "errno", "error", "args"],
        table: &["pid", "ppid", "uid", "comm", "error", "args"],
        load: &["exec-self", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_every_exec", sees_every_exec),
        Test::new("gives_arguments_whole", gives_arguments_whole),
        Test::new("sees_execveat", sees_execveat),
        Test::new("sees_scripts", sees_scripts),
        Test::new("sees_execs_of_threads", sees_execs_of_threads),
        Test::new("tells_the_user", tells_the_user),
        Test::new("sees_failures_only", sees_failures_only),
        Test::new("marks_what_is_left_out", marks_what_is_left_out),
        Test::new("limits_arguments", limits_arguments),
        Test::new("no_argument_forges_a_row", no_argument_forges_a_row),
        Test::new("loses_none_of_many", loses_none_of_many),
    ],
    workloads: &[
        Workload::new("exec-self", exec_self),
        Workload::new("exec-quoted", exec_quoted),
        Workload::new("exec-big", exec_big),
        Workload::new("exec-at", exec_at),
        Workload::new("exec-script", exec_script),
        Workload::new("exec-thread", exec_thread),
        Workload::new("exec-user", exec_user),
        Workload::new("exec-fails", exec_fails),
        Workload::new("exec-fails-long", exec_fails_long),
        Workload::new("exec-hostile", exec_hostile),
        Workload::new("exec-many", exec_many),
    ],
};

/// Programs that are run say how they end in their environment.
fn environment() -> Vec<CString> {
    vec![sys::text(format!("{EXIT_VARIABLE}=0"))]
}

/// Executes; returns if that fails.
fn exec(program: &CString, args: &[CString]) -> sys::Errno {
    let (environment, program) = (environment(), program.as_ptr() as usize);
    let (argv, envp) = (sys::pointers(args), sys::pointers(&environment));
    let args = [program, argv.as_ptr() as usize, envp.as_ptr() as usize];
    sys::call(libc::SYS_execve, &args).err().unwrap_or(0)
}

/// Executes in a child and waits for its end; returns its pid.
fn exec_in_child(program: &CString, args: &[CString]) -> Result<u32> {
    in_child(|| exec(program, args))
}

/// Runs a child that should end with 0.
fn in_child(child: impl FnOnce() -> i32) -> Result<u32> {
    let pid = sys::fork(child)?;
    let status = sys::wait(pid)?;
    equal("the child's status", status, 0)?;
    Ok(pid as u32)
}

/// The row of an exec in a child.
fn row(pid: u32, comm: &str, args: &str) -> Value {
    json!({
        "pid": pid, "tid": pid, "ppid": sys::pid(), "uid": sys::uid(), "comm": comm,
        "errno": 0, "error": null, "args": args,
    })
}

/// A program of the workload's own, by name.
fn program(gate: &Gate, name: &str) -> Result<CString> {
    let home = gate.home()?;
    home.program(name, &this_program()?)?;
    Ok(home.text(name))
}

fn texts(args: &[&str]) -> Vec<CString> {
    args.iter().map(|arg| sys::text(*arg)).collect()
}

/// Executes itself over and over: `exec-self LEFT [DONE]`.
fn exec_self(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let left = count(args)?;
    if args.len() == 1 {
        gate.wait(&json!({}))?;
    }
    if left == 0 {
        return Ok(json!({}));
    }
    let program = gate.program();
    let next = (left - 1).to_string();
    // It may bear any name.
    let mut argv = vec![program.clone()];
    argv.extend(texts(&[WORD, "exec-self", &next, "go"]));
    let argv = sys::pointers(&argv);
    // SAFETY: both are texts that end in NUL, and the list of them ends in null.
    unsafe { libc::execv(program.as_ptr(), argv.as_ptr().cast()) };
    Err(std::io::Error::last_os_error().into())
}

/// 23 execs: arguments, and how they must be shown.
fn exec_quoted(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let table: &[(&[&str], &str)] = &[
        (&["plain"], "plain"),
        (&["two", "words"], "two words"),
        (&["a blank", "b"], "'a blank' b"),
        (&["", "empty", ""], "'' empty ''"),
        (&["it's"], r#"'it'"'"'s'"#),
        (&["say", "\"hi\""], "say '\"hi\"'"),
        (&[r"back\slash"], r"'back\slash'"),
        (&["-"], "-"),
        (&["--name=value", "/a/path", "x,y;z"], "--name=value /a/path 'x,y;z'"),
        (&["h\u{e4}user", "\u{3042}"], "h\u{e4}user \u{3042}"),
    ];
    let program = program(gate, "quoted")?;
    gate.wait(&json!({}))?;
    let rows = table.iter().cycle().take(23).map(|(args, shown)| {
        let pid = exec_in_child(&program, &texts(args))?;
        Ok(row(pid, "quoted", shown))
    });
    Ok(json!({ "rows": rows.collect::<Result<Vec<_>>>()? }))
}

/// The rows of a workload's children.
fn rows_of_children(name: &str, args: &[&str]) -> Result<(Vec<Value>, Value)> {
    let mut load = Load::start(&[name])?;
    let tool = Tool::json("execsnoop", args)?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    Ok((rows::with(&rows, "ppid", &load.id.into()), account))
}

fn expect_rows_of_children(name: &str) -> Result<()> {
    let (rows, account) = rows_of_children(name, &[])?;
    rows::are(&rows, rows::wanted(&account)?)
}

fn sees_every_exec() -> Result<()> {
    expect_rows_of_children("exec-quoted")
}

/// 200 arguments, one of 100 KB, and none.
fn exec_big(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let many: Vec<String> = (0..200).map(|index| format!("argument-{index}")).collect();
    let long = vec!["long".to_owned(), "x".repeat(100_000), "end".to_owned()];
    let program = program(gate, "big")?;
    gate.wait(&json!({}))?;
    let rows = [many, long].into_iter().map(|args| {
        let texts: Vec<_> = args.iter().map(|arg| sys::text(arg.as_str())).collect();
        Ok(row(exec_in_child(&program, &texts)?, "big", &args.join(" ")))
    });
    Ok(json!({ "rows": rows.collect::<Result<Vec<_>>>()? }))
}

fn gives_arguments_whole() -> Result<()> {
    let (rows, account) = rows_of_children("exec-big", &[])?;
    let want = rows::wanted(&account)?;
    equal("rows", rows.len(), want.len())?;
    for (got, want) in rows.iter().zip(want) {
        let (got, want) = (rows::text(got, "args"), rows::text(want, "args"));
        let same = got.bytes().zip(want.bytes()).take_while(|(got, want)| got == want).count();
        equal("bytes of arguments", got.len(), want.len())?;
        equal("bytes that are right", same, want.len())?;
    }
    Ok(())
}

/// Executes what a descriptor stands for, and what a name in a directory does.
fn exec_at(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let program = program(gate, "at")?;
    let home = gate.home()?;
    let file = fs::File::open(home.file("at"))?;
    let directory = fs::File::open(home.path())?;
    gate.wait(&json!({}))?;
    let by_fd = [(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH), (directory.as_raw_fd(), c"at", 0)];
    let rows = by_fd.into_iter().map(|(fd, name, flags)| {
        let pid = in_child(|| {
            let (argv, envp) = (texts(&["by", "descriptor"]), environment());
            let (argv, envp) = (sys::pointers(&argv), sys::pointers(&envp));
            let args = [
                fd as usize,
                name.as_ptr() as usize,
                argv.as_ptr() as usize,
                envp.as_ptr() as usize,
                flags as usize,
            ];
            sys::call(libc::SYS_execveat, &args).err().unwrap_or(0)
        })?;
        Ok(row(pid, "at", "by descriptor"))
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    drop(program);
    Ok(json!({ "rows": rows, "fd": file.as_raw_fd().to_string() }))
}

fn sees_execveat() -> Result<()> {
    let (mut rows, account) = rows_of_children("exec-at", &[])?;
    // Before Linux 6.14, a program that a descriptor stands for is named after its number.
    if let Some(first) = rows.first_mut().filter(|row| row["comm"] == account["fd"]) {
        first["comm"] = "at".into();
    }
    rows::are(&rows, rows::wanted(&account)?)
}

/// Executes a script: one exec, in which the interpreter gets the script as an argument.
fn exec_script(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let interpreter = program(gate, "interpreter")?;
    let interpreter = interpreter.to_str()?;
    let home = gate.home()?;
    fs::write(home.file("script"), format!("#!{interpreter} -e\n"))?;
    fs::set_permissions(home.file("script"), Permissions::from_mode(0o755))?;
    gate.wait(&json!({}))?;
    let pid = exec_in_child(&home.text("script"), &texts(&["zero", "one", "two"]))?;
    let args = format!("{interpreter} -e {} one two", home.file("script"));
    Ok(json!({ "rows": [row(pid, "script", &args)] }))
}

fn sees_scripts() -> Result<()> {
    expect_rows_of_children("exec-script")
}

/// Executes from a thread that is not the first of its process.
fn exec_thread(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let program = program(gate, "thread")?;
    gate.wait(&json!({}))?;
    let rows = (0..5).map(|_| {
        let program = program.clone();
        let pid = in_child(|| {
            let thread = thread::spawn(move || exec(&program, &texts(&["from", "thread"])));
            thread.join().unwrap_or(1)
        })?;
        Ok(row(pid, "thread", "from thread"))
    });
    Ok(json!({ "rows": rows.collect::<Result<Vec<_>>>()? }))
}

fn sees_execs_of_threads() -> Result<()> {
    expect_rows_of_children("exec-thread")
}

/// Executes as another user.
fn exec_user(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let program = program(gate, "user")?;
    gate.wait(&json!({}))?;
    let pid = in_child(|| match sys::set_user(NOBODY) {
        Ok(()) => exec(&program, &texts(&["user"])),
        Err(_) => 1,
    })?;
    let mut row = row(pid, "user", "user");
    row["uid"] = NOBODY.into();
    Ok(json!({ "rows": [row] }))
}

fn tells_the_user() -> Result<()> {
    expect_rows_of_children("exec-user")
}

/// Execs that fail, between some that do not.
fn exec_fails(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let good = program(gate, "good")?;
    let home = gate.home()?;
    for (name, mode) in [("locked", 0o600), ("nonsense", 0o700)] {
        fs::write(home.file(name), "nonsense")?;
        fs::set_permissions(home.file(name), Permissions::from_mode(mode))?;
    }
    let table = [
        (home.text("missing"), libc::ENOENT),
        (home.text("locked"), libc::EACCES),
        (home.text("good/x"), libc::ENOTDIR),
        (home.text("nonsense"), libc::ENOEXEC),
        (home.text(""), libc::EACCES),
    ];
    let long = "y".repeat(3000);
    let args = ["what", "was tried", &long];
    let shown = format!("what 'was tried' {long}");
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for (program, errno) in table {
        exec_in_child(&good, &texts(&["good"]))?;
        equal("errno", exec(&program, &texts(&args)), errno)?;
        rows.push(json!({
            "pid": sys::pid(), "tid": sys::tid(), "uid": sys::uid(), "comm": comm(),
            "errno": errno, "error": sys::errno_name(errno), "args": shown,
        }));
    }
    Ok(json!({ "rows": rows }))
}

fn sees_failures_only() -> Result<()> {
    let mut load = Load::start(&["exec-fails"])?;
    let tool = Tool::json("execsnoop", &["-x", "-f", "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::are(&rows, rows::wanted(&account)?)?;
    let parent = sys::pid();
    ensure!(rows.iter().all(|row| row["ppid"] == parent), "ppid is not {parent}: {}", rows[0]);
    Ok(())
}

/// How many arguments of a failed exec are always shown.
const ALWAYS_SHOWN: usize = 128;

/// Execs that fail, with ever more arguments, and one that cannot be read.
fn exec_fails_long(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (good, missing) = (gate.program(), c"/missing".as_ptr() as usize);
    let environment = environment();
    let envp = sys::pointers(&environment);
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for count in [0, 1, ALWAYS_SHOWN - 1, ALWAYS_SHOWN, ALWAYS_SHOWN + 1, 1000] {
        let args: Vec<String> = (0..count).map(|index| format!("argument-{index}")).collect();
        let texts: Vec<_> = args.iter().map(|arg| sys::text(arg.as_str())).collect();
        let argv = sys::pointers(&texts);
        let result = sys::call(libc::SYS_execve, &[missing, argv.as_ptr() as usize, envp.as_ptr() as usize]);
        rows.push(json!({ "errno": result.err(), "args": args.join(" ") }));
    }
    let argv = [c"good".as_ptr() as usize, 1, c"never seen".as_ptr() as usize, 0];
    let good = [good.as_ptr() as usize, argv.as_ptr() as usize, envp.as_ptr() as usize];
    let result = sys::call(libc::SYS_execve, &good);
    rows.push(json!({ "errno": result.err(), "args": "good ..." }));
    Ok(json!({ "rows": rows }))
}

fn marks_what_is_left_out() -> Result<()> {
    let mut load = Load::start(&["exec-fails-long"])?;
    let tool = Tool::json("execsnoop", &["-x", "-p", &load.pid()])?;
    let account = load.finish()?;
    let mut rows = tool.interrupt()?.ok()?.rows()?;
    let want = rows::wanted(&account)?;
    equal("rows", rows.len(), want.len())?;
    for (row, want) in rows.iter_mut().zip(want) {
        let (args, whole) = (rows::text(row, "args").to_owned(), rows::text(want, "args"));
        let Some(start) = args.strip_suffix(" ...") else { continue };
        let shown = start.split(' ').count();
        if shown >= ALWAYS_SHOWN && whole.starts_with(start) {
            row["args"] = whole.into();
        }
    }
    rows::are(&rows, want)
}

fn limits_arguments() -> Result<()> {
    let (rows, _) = rows_of_children("exec-big", &["--max-args", "3"])?;
    let first = rows.first().context("no row")?;
    let args = rows::text(first, "args");
    let is_cut = args.starts_with("argument-0 argument-1 argument-2") && !args.contains("argument-3");
    ensure!(is_cut, "args are {args}");
    let second = rows.get(1).context("no second row")?;
    ensure!(rows::text(second, "args").ends_with(" end"), "three arguments are not three");
    Ok(())
}

/// Arguments that would forge rows.
fn exec_hostile(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let program = program(gate, "a\nb \x1b[2Jc")?;
    let arguments: [&[u8]; 7] = [
        b"two\nlines",
        b"\n1 2 3 forged - /bin/sh",
        b"\x1b]0;title\x07",
        b"\xff\xfe",
        b"tab\tcr\r",
        "\u{202e}\u{9b}".as_bytes(),
        b"\"quoted\", {}",
    ];
    let args: Vec<_> = arguments.iter().map(|arg| sys::text(*arg)).collect();
    gate.wait(&json!({}))?;
    let pids = (0..3).map(|_| exec_in_child(&program, &args)).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "pids": pids }))
}

fn no_argument_forges_a_row() -> Result<()> {
    for (format, breaks) in
        [("table", &['\n'][..]), ("csv", &['\n']), ("tsv", &['\n', '\t']), ("json", &['\n'])]
    {
        let mut load = Load::start(&["exec-hostile"])?;
        let tool = Tool::text("execsnoop", &["-F", format, "-f", "-p", &load.pid()])?;
        load.finish()?;
        let output = tool.interrupt()?.ok()?;
        rows::are_harmless(output.text()?, breaks)?;
        let header = usize::from(format != "json");
        equal(&format!("lines of {format}"), output.lines()?.len(), 3 + header)?;
        if format == "json" {
            for row in output.rows()? {
                equal("comm", rows::text(&row, "comm"), "a\nb \x1b[2Jc")?;
                ensure!(rows::text(&row, "args").contains("\u{202e}\u{9b}"), "args: {row}");
            }
        }
    }
    Ok(())
}

/// Forks and executes as fast as it goes.
fn exec_many(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let times = by_machine(2003, 307);
    let program = program(gate, "many")?;
    gate.wait(&json!({}))?;
    let args = texts(&["many"]);
    let rows = (0..times).map(|_| Ok(row(exec_in_child(&program, &args)?, "many", "many")));
    Ok(json!({ "rows": rows.collect::<Result<Vec<_>>>()? }))
}

fn loses_none_of_many() -> Result<()> {
    expect_rows_of_children("exec-many")
}
