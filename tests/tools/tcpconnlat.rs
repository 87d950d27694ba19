//! tcpconnlat: how long connects take, and how they fail.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json,
        load::comm,
        rows, sys,
        tcp::{self, LOCALHOSTS, bound_socket, connect},
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "tcpconnlat",
    standard: Some(Standard {
        tool: "tcpconnlat",
        shape: Shape::Snoop,
        args: &[],
        keys: &[
            "pid",
            "tid",
            "uid",
            "comm",
            "ip",
            "saddr",
            "sport",
            "daddr",
            "dport",
            "latency_us",
            "errno",
            "error",
        ],
        table: &["pid", "comm", "ip", "saddr", "sport", "daddr", "dport", "latency_us", "error"],
        load: &["connects", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_every_result", sees_every_result),
        Test::new("chooses_failures_families_and_ports", chooses),
        Test::new("sees_connects_of_32_bit_programs", sees_connects_of_32_bit_programs),
        Test::new("measures_latency", measures_latency),
    ],
    workloads: &[
        Workload::new("connect-results", connect_results),
        Workload::new("connects-32", connects_32),
        Workload::new("connects-slow", connects_slow),
    ],
};

/// The row of an attempt that took `least` to `most`.
fn row(from: SocketAddr, to: SocketAddr, errno: i32, least: Duration, most: Duration) -> Value {
    json!({
        "pid": sys::pid(), "tid": sys::tid(), "uid": sys::uid(), "comm": comm(),
        "ip": if to.is_ipv4() { 4 } else { 6 },
        "saddr": from.ip().to_string(), "sport": from.port(),
        "daddr": to.ip().to_string(), "dport": to.port(),
        "errno": errno, "error": (errno != 0).then(|| sys::errno_name(errno)),
        "least_us": least.as_micros() as u64, "most_us": most.as_micros() as u64,
    })
}

/// The rows are these, with latencies within the bounds that the workload knows.
fn expect(got: &[Value], want: &[Value]) -> Result<()> {
    let mut plain = want.to_vec();
    for row in plain.iter_mut().filter_map(Value::as_object_mut) {
        row.retain(|key, _| !key.ends_with("_us"));
    }
    rows::are(got, &plain)?;
    for (got, want) in got.iter().zip(want) {
        let (least, most) = (rows::number(want, "least_us"), rows::number(want, "most_us"));
        let latency = got["latency_us"].as_u64().context("no latency")?;
        ensure!((least..=most).contains(&latency), "it took {least} to {most} us: {got}");
    }
    Ok(())
}

/// Connects that succeed, that are refused, and that find their address in use.
fn connect_results(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let mut cases = Vec::new();
    let (mut listeners, mut keepers) = (Vec::new(), Vec::new());
    for address in LOCALHOSTS {
        let listener = TcpListener::bind((address, 0))?;
        let open = listener.local_addr()?;
        listeners.push(listener);
        let (keeper, closed) = bound_socket(address, 0)?;
        keepers.push(keeper);
        for (to, errno) in [(open, 0), (closed, libc::ECONNREFUSED)] {
            cases.push((bound_socket(address, 0)?, to, errno));
        }
        cases.push((bound_socket(address, libc::SOCK_NONBLOCK)?, open, 0));
        // From one address and port only one connection can go to the same place.
        let (first, from) = bound_socket(address, 0)?;
        tcp::reuse_address(&first)?;
        let second = tcp::socket(address, 0)?;
        tcp::reuse_address(&second)?;
        tcp::bind(&second, from)?;
        cases.push(((first, from), open, 0));
        cases.push(((second, from), open, libc::EADDRNOTAVAIL));
    }
    let port = listeners[0].local_addr()?.port();
    gate.wait(&json!({ "port": port }))?;
    let mut rows = Vec::new();
    for ((socket, from), to, errno) in &cases {
        let since = Instant::now();
        let got = connect(socket, *to);
        let is_right = got == *errno || (got == libc::EINPROGRESS && *errno == 0);
        ensure!(is_right, "connect: expected {errno}, got {got}");
        rows.push(row(*from, *to, *errno, Duration::ZERO, since.elapsed()));
    }
    Ok(json!({ "rows": rows }))
}

fn run(args: &[&str], choose: impl Fn(&Value, &Value) -> bool) -> Result<()> {
    let mut load = Load::start(&["connect-results"])?;
    let port = load.setup["port"].clone();
    let args: Vec<String> = args.iter().map(|arg| arg.replace("PORT", &port.to_string())).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let tool = Tool::json("tcpconnlat", &[&args, &["-p", &load.pid()][..]].concat())?;
    let account = load.finish()?;
    let mut want = rows::wanted(&account)?.clone();
    want.retain(|row| choose(row, &port));
    ensure!(!want.is_empty(), "nothing to see");
    expect(&tool.interrupt()?.ok()?.rows()?, &want).with_context(|| args.join(" "))
}

fn sees_every_result() -> Result<()> {
    run(&[], |_, _| true)
}

fn chooses() -> Result<()> {
    run(&["-x"], |row, _| row["errno"] != 0)?;
    run(&["-6"], |row, _| row["ip"] == 6)?;
    run(&["--remote-port", "1,PORT"], |row, port| row["dport"] == *port)
}

/// Connects by the number that 32-bit programs have for it, to a port that is open and one that is not.
fn connects_32(gate: &mut Gate, _: &[String]) -> Result<Value> {
    const CONNECT: usize = 362;
    let listener = TcpListener::bind((LOCALHOSTS[0], 0))?;
    let (_keeper, closed) = bound_socket(LOCALHOSTS[0], 0)?;
    let Some(low) = sys::low_page() else {
        gate.wait(&json!({ "skip": "this kernel runs no 32-bit programs" }))?;
        return Ok(json!({}));
    };
    let cases = [(listener.local_addr()?, 0), (closed, libc::ECONNREFUSED)];
    let sockets = [bound_socket(LOCALHOSTS[0], 0)?, bound_socket(LOCALHOSTS[0], 0)?];
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for ((to, errno), (socket, from)) in cases.into_iter().zip(&sockets) {
        let name = tcp::sockaddr(to);
        // SAFETY: the page is this process's own and longer than an address.
        unsafe { std::ptr::copy_nonoverlapping(name.as_ptr(), low as *mut u8, name.len()) };
        let since = Instant::now();
        let result = sys::call_32(CONNECT, [socket.as_raw_fd() as usize, low, name.len(), 0, 0]);
        equal("connect", result, -i64::from(errno))?;
        rows.push(row(*from, to, errno, Duration::ZERO, since.elapsed()));
    }
    Ok(json!({ "rows": rows }))
}

fn sees_connects_of_32_bit_programs() -> Result<()> {
    let mut load = Load::start(&["connects-32"])?;
    let tool = Tool::json("tcpconnlat", &["-p", &load.pid()])?;
    let account = load.finish()?;
    expect(&tool.interrupt()?.ok()?.rows()?, rows::wanted(&account)?)
}

/// How long the program waits before it gives up.
const PATIENCE: Duration = Duration::from_millis(30);
/// More than any connect takes that waits for nothing, less than the kernel waits before a second SYN.
const THRESHOLD: &str = "300ms";

/// A connect that nobody answers and that is given up, and one that is answered when the kernel tries again.
fn connects_slow(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (listener, to) = bound_socket(LOCALHOSTS[0], 0)?;
    // Room for one.
    sys::call(libc::SYS_listen, &[listener.as_raw_fd() as usize, 0]).map_err(io::Error::from_raw_os_error)?;
    let _filling = TcpStream::connect(to)?;
    let sockets = [bound_socket(LOCALHOSTS[0], libc::SOCK_NONBLOCK)?, bound_socket(LOCALHOSTS[0], 0)?];
    let [(given_up, first), (blocking, second)] = sockets;
    gate.wait(&json!({}))?;

    let before = Instant::now();
    equal("connect", connect(&given_up, to), libc::EINPROGRESS)?;
    let after = Instant::now();
    thread::sleep(PATIENCE);
    let least = after.elapsed();
    drop(given_up);
    let first = row(first, to, libc::ECANCELED, least, before.elapsed());

    let before = Instant::now();
    // Room is made when the first SYN has been dropped.
    let server = thread::spawn(move || {
        thread::sleep(PATIENCE);
        sys::call(libc::SYS_accept, &[listener.as_raw_fd() as usize, 0, 0]).map(|_| listener)
    });
    equal("connect", connect(&blocking, to), 0)?;
    let second = row(second, to, 0, PATIENCE, before.elapsed());
    let _ = server.join();
    Ok(json!({ "rows": [first, second] }))
}

fn measures_latency() -> Result<()> {
    let mut load = Load::start(&["connects-slow"])?;
    let pid = load.pid();
    let all = Tool::json("tcpconnlat", &["-p", &pid])?;
    let slow = Tool::json("tcpconnlat", &["-p", &pid, "--min", THRESHOLD])?;
    let account = load.finish()?;
    let want = rows::wanted(&account)?;
    expect(&all.interrupt()?.ok()?.rows()?, want)?;
    expect(&slow.interrupt()?.ok()?.rows()?, &want[1..])
}
