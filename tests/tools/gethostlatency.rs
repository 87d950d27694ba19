//! gethostlatency: lookups of hosts. The tests' program is static, and so its own C library.

use std::{
    ffi::{c_char, c_void},
    fs, io,
    net::UdpSocket,
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
    ptr, thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, extra, json,
        load::{comm, count},
        rows, sys, tool, tracer,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "gethostlatency",
    standard: Some(Standard {
        tool: "gethostlatency",
        shape: Shape::Snoop,
        args: &[],
        keys: &["pid", "tid", "uid", "comm", "function", "latency_ms", "error", "host"],
        table: &["pid", "comm", "latency_ms", "error", "host"],
        load: &["lookups", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("tells_what_was_looked_up", tells_what_was_looked_up),
        Test::new("writes_no_hostile_name_as_it_is", writes_no_hostile_name_as_it_is),
        Test::new("sees_failures_only", sees_failures_only),
        Test::new("tells_how_long_it_took", tells_how_long_it_took),
        Test::new("sees_several_libraries_at_once", sees_several_libraries_at_once),
        Test::new("sees_the_library_it_is_told_of", sees_the_library_it_is_told_of),
        Test::new("sees_musl", sees_musl),
        Test::new("sees_the_libraries_of_the_system", sees_the_libraries_of_the_system),
    ],
    workloads: &[
        Workload::new("lookups", lookups),
        Workload::new("lookup-table", lookup_table),
        Workload::new("lookup-hostile", lookup_hostile),
        Workload::new("lookup-slow", lookup_slow),
        Workload::new("lookups-hidden", lookups_hidden),
    ],
};

unsafe extern "C" {
    fn gethostbyname(name: *const c_char) -> *const c_void;
    fn gethostbyname_r(
        name: *const c_char,
        host: *mut [u64; 4],
        buffer: *mut c_char,
        size: usize,
        result: *mut *const c_void,
        errno: *mut i32,
    ) -> i32;
}

/// An /etc of this process's own, which says where to look for hosts, and has some itself.
fn own_etc(switch: &str, hosts: &str) -> Result<()> {
    sys::own_mounts()?;
    sys::mount_tmpfs(&sys::text("/etc"))?;
    fs::write("/etc/nsswitch.conf", switch)?;
    fs::write("/etc/hosts", hosts)?;
    Ok(())
}

/// Looks up the IPv4 address of a host, and returns the error.
fn look_up(host: &str, service: Option<&str>) -> i32 {
    let host = sys::text(host);
    let name = if host.is_empty() { ptr::null() } else { host.as_ptr() };
    let service = service.map(sys::text);
    let service = service.as_ref().map_or(ptr::null(), |service| service.as_ptr());
    // SAFETY: all zeroes are hints that ask for nothing.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = libc::AF_INET;
    let mut found = ptr::null_mut();
    // SAFETY: what is pointed to lives until the call returns, and the result is freed once.
    unsafe {
        let error = libc::getaddrinfo(name, service, &raw const hints, &raw mut found);
        if error == 0 {
            libc::freeaddrinfo(found);
        }
        error
    }
}

/// Looks up addresses by number.
fn lookups(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    gate.wait(&json!({}))?;
    for index in 0..times {
        equal("the error", look_up(&format!("127.0.0.{index}"), None), 0)?;
    }
    Ok(json!({}))
}

fn row(function: &str, host: &str, error: Option<&str>) -> Value {
    let host = if host.is_empty() { Value::Null } else { host.into() };
    json!({ "pid": sys::pid(), "tid": sys::tid(), "uid": sys::uid(), "comm": comm(),
        "function": function, "error": error, "host": host })
}

/// All functions, with hosts that are there and hosts that are not.
fn lookup_table(gate: &mut Gate, _: &[String]) -> Result<Value> {
    own_etc("hosts: files\n", "127.0.0.7 one.test\n127.0.0.8 two.test\n")?;
    gate.wait(&json!({}))?;
    let long = "x".repeat(300);
    let mut rows = Vec::new();
    let hosts = [
        ("one.test", None, 0),
        ("none.test", Some("EAI_NONAME"), libc::EAI_NONAME),
        ("127.0.0.9", None, 0),
        ("a b\"c", Some("EAI_NONAME"), libc::EAI_NONAME),
        ("", None, 0),
        (long.as_str(), Some("EAI_NONAME"), libc::EAI_NONAME),
    ];
    for (host, error, number) in hosts {
        let service = host.is_empty().then_some("80");
        equal("the error", look_up(host, service), number)?;
        rows.push(row("getaddrinfo", &host[..host.len().min(255)], error));
    }
    for (name, error) in [("two.test", None), ("none.test", Some("failed"))] {
        let text = sys::text(name);
        // SAFETY: what is pointed to lives until the call returns; this process has one thread.
        let found = unsafe { gethostbyname(text.as_ptr()) };
        equal("whether it failed", found.is_null(), error.is_some())?;
        rows.push(row("gethostbyname", name, error));
        let (mut host, mut buffer, mut found, mut errno) = ([0; 4], [0; 1024], ptr::null(), 0);
        // SAFETY: what is pointed to lives until the call returns, and is as large as it must be.
        unsafe {
            let (host, size) = (&raw mut host, buffer.len());
            gethostbyname_r(text.as_ptr(), host, buffer.as_mut_ptr(), size, &raw mut found, &raw mut errno)
        };
        equal("whether it failed", found.is_null(), error.is_some())?;
        rows.push(row("gethostbyname_r", name, error));
    }
    Ok(json!({ "rows": rows }))
}

fn tells_what_was_looked_up() -> Result<()> {
    let mut load = Load::start(&["lookup-table"])?;
    let tool = Tool::json("gethostlatency", &["-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::are(&rows, rows::wanted(&account)?)
}

/// Looks up a name that would forge a row and colour the terminal.
fn lookup_hostile(gate: &mut Gate, _: &[String]) -> Result<Value> {
    own_etc("hosts: files\n", "")?;
    gate.wait(&json!({}))?;
    equal("the error", look_up("a\n1 b\x1b[31m\u{9b}", None), libc::EAI_NONAME)?;
    Ok(json!({}))
}

fn writes_no_hostile_name_as_it_is() -> Result<()> {
    let mut load = Load::start(&["lookup-hostile"])?;
    let tool = Tool::text("gethostlatency", &["-p", &load.pid()])?;
    load.finish()?;
    let output = tool.interrupt()?.ok()?;
    rows::are_harmless(output.text()?, &['\n'])?;
    let lines = output.lines()?;
    equal("lines", lines.len(), 2)?;
    ensure!(lines[1].ends_with(r" a\n1 b\x1b[31m\u{9b}"), "another name: {}", lines[1]);
    Ok(())
}

fn sees_failures_only() -> Result<()> {
    let mut load = Load::start(&["lookup-table"])?;
    let tool = Tool::json("gethostlatency", &["-x", "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let failed: Vec<_> =
        rows::wanted(&account)?.iter().filter(|row| !row["error"].is_null()).cloned().collect();
    equal("failures", failed.len(), 5)?;
    rows::are(&rows, &failed)
}

const DELAY: Duration = Duration::from_millis(50);

/// Where the name server of a workload is, beside that of the system.
const NAME_SERVER: &str = "127.0.53.7";

/// Answers each question for the address of a host, but takes its time.
fn serve_names(socket: &UdpSocket) -> io::Result<()> {
    /// An answer, without error, to one question, which follows.
    const ANSWER: [u8; 10] = [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    /// The name in question, of type A and class IN, is for a second at an address of four bytes.
    const ADDRESS: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 7];
    let mut buffer = [0; 512];
    loop {
        let (len, client) = socket.recv_from(&mut buffer)?;
        thread::sleep(DELAY);
        let answer = [&buffer[..2], &ANSWER, &buffer[12..len], &ADDRESS].concat();
        socket.send_to(&answer, client)?;
    }
}

/// A host whose name server is slow, after one that needs no server.
fn lookup_slow(gate: &mut Gate, _: &[String]) -> Result<Value> {
    own_etc("hosts: dns\n", "")?;
    fs::write("/etc/resolv.conf", format!("nameserver {NAME_SERVER}\n"))?;
    let socket = UdpSocket::bind((NAME_SERVER, 53)).context("a socket for the name server")?;
    gate.wait(&json!({}))?;
    thread::spawn(move || serve_names(&socket));
    equal("the error", look_up("127.0.0.9", None), 0)?;
    let start = Instant::now();
    equal("the error", look_up("slow.test", None), 0)?;
    let most = start.elapsed().as_secs_f64() * 1e3;
    Ok(json!({ "most": most }))
}

fn tells_how_long_it_took() -> Result<()> {
    let mut load = Load::start(&["lookup-slow"])?;
    let least = DELAY.as_secs_f64() * 1e3;
    let tool = Tool::json("gethostlatency", &["--min", &least.to_string(), "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::are(&rows, &[json!({ "host": "slow.test", "error": null })])?;
    let (took, most) = (rows[0]["latency_ms"].as_f64().unwrap_or(0.), account["most"].as_f64().unwrap_or(0.));
    // The row is rounded.
    ensure!((least..=most + 0.001).contains(&took), "it took {least} to {most} ms, the row says {took}");
    Ok(())
}

/// Lookups by a program that only this process's mount namespace has.
fn lookups_hidden(gate: &mut Gate, args: &[String]) -> Result<Value> {
    if args.len() > 1 {
        return lookups(gate, args);
    }
    let home = gate.home()?;
    sys::own_mounts()?;
    sys::mount_tmpfs(&sys::text(home.arg()))?;
    let program = home.path().join("hidden");
    fs::copy("/proc/self/exe", &program)?;
    let error = Command::new(&program).args(["workload", "lookups-hidden", &args[0], "again"]).exec();
    Err(error.into())
}

fn sees_several_libraries_at_once() -> Result<()> {
    for all in [false, true] {
        let (mut here, mut hidden) =
            (Load::start(&["lookups", "7"])?, Load::start(&["lookups-hidden", "11"])?);
        let pids = format!("{},{}", here.pid(), hidden.pid());
        let chosen = if all { vec![] } else { vec!["-p", &pids] };
        let tool = Tool::json("gethostlatency", &chosen)?;
        here.finish()?;
        hidden.finish()?;
        let rows = tool.interrupt()?.ok()?.rows()?;
        equal("lookups by the first", rows::of_pid(&rows, here.id).len(), 7)?;
        equal("lookups by the hidden one", rows::of_pid(&rows, hidden.id).len(), 11)?;
    }
    Ok(())
}

fn sees_the_library_it_is_told_of() -> Result<()> {
    let (mut load, mut other) = (Load::start(&["lookups", "7"])?, Load::start(&["lookups-hidden", "7"])?);
    let program = format!("/proc/{}/exe", load.id);
    let tool = Tool::json("gethostlatency", &["--lib", &program])?;
    other.finish()?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("lookups", rows::of_pid(&rows, load.id).len(), 7)?;
    equal("lookups by another library", rows::of_pid(&rows, other.id).len(), 0)?;
    let output = tracer(&["gethostlatency", "--lib", "/proc/version"]).output()?;
    let line = output.fails(1)?;
    ensure!(line.contains("/proc/version"), "the file is not named: {line}");
    Ok(())
}

/// A program with musl, beside one that is its own C library.
fn sees_musl() -> Result<()> {
    let program = extra::file("lookups-musl")?;
    for all in [false, true] {
        let mut musl = Load::start(&["become", "/", tool::arg(&program)])?;
        let mut other = Load::start(&["lookups", "7"])?;
        let pids = format!("{},{}", musl.pid(), other.pid());
        let chosen = if all { vec![] } else { vec!["-p", &pids] };
        let tool = Tool::json("gethostlatency", &chosen)?;
        musl.finish()?;
        other.finish()?;
        let rows = tool.interrupt()?.ok()?.rows()?;
        equal("lookups by the other", rows::of_pid(&rows, other.id).len(), 7)?;
        let row = |function: &str, host: &str, error: Option<&str>| json!({ "comm": "lookups-musl", "function": function, "host": host, "error": error });
        let want = [
            row("getaddrinfo", "127.0.0.5", None),
            row("getaddrinfo", "none.test", Some("EAI_NONAME")),
            // musl's gethostbyname jumps there.
            row("gethostbyname2", "127.0.0.6", None),
            row("gethostbyname2", "127.0.0.7", None),
            row("gethostbyname_r", "127.0.0.8", None),
        ];
        rows::are(&rows::of_pid(&rows, musl.id), &want)?;
    }
    Ok(())
}

/// A program that is not static, if there is one. The VMs have none.
fn sees_the_libraries_of_the_system() -> Result<()> {
    let program = Path::new("/usr/bin/getent");
    if !program.is_file() {
        return Ok(());
    }
    let script = "for i in 1 2 3 4 5; do getent ahostsv4 127.0.7.$i; done; true";
    let words = ["gethostlatency", "--json", "-o", "-", "-n", "getent", "--", "sh", "-c", script];
    let output = tracer(&words).output()?;
    let lines = output.lines()?;
    let hosts = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let hosts: Vec<String> = hosts.map(|row| rows::text(&row, "host").to_owned()).collect();
    equal("hosts", hosts, ["127.0.7.1", "127.0.7.2", "127.0.7.3", "127.0.7.4", "127.0.7.5"])
}
