//! tcpaccept: every connection with the thread that accepted it, not with the one that connected.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream},
    },
    thread,
    time::{Duration, Instant},
};

use super::vfsstat::function_probes;
use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json,
        load::{comm, count},
        rows, sys,
        tcp::LOCALHOSTS,
        uring::{self, Uring},
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "tcpaccept",
    standard: Some(Standard {
        tool: "tcpaccept",
        shape: Shape::Snoop,
        args: &[],
        keys: &["pid", "tid", "uid", "comm", "ip", "saddr", "sport", "daddr", "dport", "fd", "queued_us"],
        table: &["pid", "comm", "ip", "saddr", "sport", "daddr", "dport", "queued_us"],
        load: &["accepts", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_who_accepts", sees_who_accepts),
        Test::new("chooses_families_and_ports", chooses_families_and_ports),
        Test::new("measures_the_wait", measures_the_wait),
        Test::new("measures_the_wait_for_a_stopped_server", measures_the_wait_for_a_stopped_server),
        Test::new("sees_what_io_uring_accepts", sees_what_io_uring_accepts),
        Test::new("sees_accepts_of_32_bit_programs", sees_accepts_of_32_bit_programs),
    ],
    workloads: &[
        Workload::new("accepts", accepts),
        Workload::new("accepts-late", accepts_late),
        Workload::new("accepts-stopped", accepts_stopped),
        Workload::new("accepts-otherwise", accepts_otherwise),
    ],
};

/// Accepts, by the older call or the newer one.
fn accept(listener: &impl AsRawFd, newer: bool) -> Result<OwnedFd, i32> {
    let number = if newer { libc::SYS_accept4 } else { libc::SYS_accept };
    let fd = sys::call(number, &[listener.as_raw_fd() as usize, 0, 0, 0])?;
    sys::own(Ok(fd)).map_err(|_| libc::EBADF)
}

/// The row of the connection that this thread accepted at `own` from `peer`.
fn row(own: SocketAddr, peer: SocketAddr, fd: &OwnedFd) -> Value {
    json!({
        "pid": sys::pid(), "tid": sys::tid(), "uid": sys::uid(), "comm": comm(),
        "ip": if own.is_ipv4() { 4 } else { 6 },
        "saddr": own.ip().to_string(), "sport": own.port(),
        "daddr": peer.ip().to_string(), "dport": peer.port(), "fd": fd.as_raw_fd(),
    })
}

/// Accepts what another thread connects, by both protocols and both calls; also what is no TCP, and nothing.
fn accepts(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)? as usize;
    // With a name of no file, so that none is left.
    let name = UnixAddr::from_abstract_name(format!("tracer-accepts-{}", sys::pid()))?;
    let unix = UnixListener::bind_addr(&name)?;
    let _stream = UnixStream::connect_addr(&name)?;
    let listeners = LOCALHOSTS.map(|address| TcpListener::bind((address, 0)));
    let listeners = listeners.into_iter().collect::<io::Result<Vec<_>>>()?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
    gate.wait(&json!({ "ports": ports }))?;

    let targets = addresses.clone();
    let client = thread::Builder::new().name("client".to_owned()).spawn(move || {
        let targets = targets.iter().cycle().take(times);
        targets.map(TcpStream::connect).collect::<io::Result<Vec<_>>>()
    })?;
    let accept_one = |turn: usize| {
        let (listener, own) = (&listeners[turn % 2], addresses[turn % 2]);
        let fd = accept(listener, turn.is_multiple_of(3)).map_err(io::Error::from_raw_os_error)?;
        let stream = TcpStream::from(fd);
        let peer = stream.peer_addr()?;
        let fd = OwnedFd::from(stream);
        Ok((row(own, peer, &fd), fd))
    };
    let accepted = (0..times).map(accept_one).collect::<Result<Vec<_>>>()?;
    client.join().ok().context("the client panicked")??;

    accept(&unix, true).map_err(io::Error::from_raw_os_error)?;
    listeners[0].set_nonblocking(true)?;
    equal("accepting nothing", accept(&listeners[0], true).err(), Some(libc::EAGAIN))?;
    Ok(json!({ "rows": accepted.into_iter().map(|(row, _)| row).collect::<Vec<_>>() }))
}

fn sees_who_accepts() -> Result<()> {
    let mut load = Load::start(&["accepts", "23"])?;
    let tool = Tool::json("tcpaccept", &["-p", &load.pid()])?;
    let account = load.finish()?;
    let got = tool.interrupt()?.ok()?.rows()?;
    rows::are(&got, rows::wanted(&account)?)?;
    let waited = |row: &Value| row["queued_us"].as_u64().is_some_and(|us| us < 30_000_000);
    ensure!(got.iter().all(waited), "a wait is not known or too long: {got:?}");
    Ok(())
}

fn chooses_families_and_ports() -> Result<()> {
    let mut load = Load::start(&["accepts", "23"])?;
    let ports = load.setup["ports"].as_array().context("no ports")?.clone();
    let pid = load.pid();
    let start = |args: &[&str]| Tool::json("tcpaccept", &[args, &["-p", &pid]].concat());
    let port = ports[1].to_string();
    let tools = [
        (start(&["-4"])?, "ip", json!(4)),
        (start(&["-6"])?, "ip", json!(6)),
        (start(&["--local-port", &format!("1,{port}")])?, "sport", ports[1].clone()),
        // Nobody connects from there.
        (start(&["--remote-port", &port])?, "dport", ports[1].clone()),
    ];
    let account = load.finish()?;
    for (tool, key, value) in tools {
        let want = rows::with(rows::wanted(&account)?, key, &value);
        rows::are(&tool.interrupt()?.ok()?.rows()?, &want).with_context(|| format!("{key} {value}"))?;
    }
    Ok(())
}

/// How long a connection waits.
const WAIT: Duration = Duration::from_millis(20);

/// Accepts a connection that was there before the tool, and one that waited for a known time.
fn accepts_late(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let listener = TcpListener::bind((LOCALHOSTS[0], 0))?;
    let to = listener.local_addr()?;
    let early = TcpStream::connect(to)?;
    gate.wait(&json!({}))?;
    let before = Instant::now();
    let late = TcpStream::connect(to)?;
    let connected = Instant::now();
    thread::sleep(WAIT);
    let mut rows = Vec::new();
    let mut least = 0;
    for peer in [&early, &late] {
        let after = connected.elapsed();
        let fd = accept(&listener, true).map_err(io::Error::from_raw_os_error)?;
        rows.push(row(to, peer.local_addr()?, &fd));
        least = after.as_micros() as u64;
    }
    Ok(json!({ "rows": rows, "least_us": least, "most_us": before.elapsed().as_micros() as u64 }))
}

fn measures_the_wait() -> Result<()> {
    let mut load = Load::start(&["accepts-late"])?;
    let tool = Tool::json("tcpaccept", &["-p", &load.pid()])?;
    let account = load.finish()?;
    let got = tool.interrupt()?.ok()?.rows()?;
    rows::are(&got, rows::wanted(&account)?)?;
    equal("the wait that began before", &got[0]["queued_us"], &Value::Null)?;
    expect_wait(&got[1], &account)
}

fn expect_wait(row: &Value, account: &Value) -> Result<()> {
    let (waited, least) = (rows::number(row, "queued_us"), rows::number(account, "least_us"));
    let most = rows::number(account, "most_us");
    ensure!((least..=most).contains(&waited), "the wait was {least} to {most} us: {row}");
    Ok(())
}

/// A server is stopped while a connection comes, and goes on when that has waited for a known time.
fn accepts_stopped(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let listener = TcpListener::bind((LOCALHOSTS[1], 0))?;
    let to = listener.local_addr()?;
    let server = sys::fork(|| {
        sys::end_with_parent();
        i32::from(accept(&listener, true).is_err())
    })?;
    let id = server.unsigned_abs();
    sys::kill(id, libc::SIGSTOP)?;
    sys::wait_stopped(server)?;
    gate.wait(&json!({ "server": id }))?;
    let before = Instant::now();
    let client = TcpStream::connect(to)?;
    let connected = Instant::now();
    thread::sleep(WAIT);
    let least = connected.elapsed();
    sys::kill(id, libc::SIGCONT)?;
    equal("the server's status", sys::wait(server)?, 0)?;
    Ok(json!({
        "row": { "pid": id, "ip": 6, "sport": to.port(), "dport": client.local_addr()?.port() },
        "least_us": least.as_micros() as u64, "most_us": before.elapsed().as_micros() as u64,
    }))
}

fn measures_the_wait_for_a_stopped_server() -> Result<()> {
    let mut load = Load::start(&["accepts-stopped"])?;
    let tool = Tool::json("tcpaccept", &["-p", &load.setup["server"].to_string()])?;
    let account = load.finish()?;
    let got = tool.interrupt()?.ok()?.rows()?;
    rows::are(&got, &[account["row"].clone()])?;
    expect_wait(&got[0], &account)
}

/// Accepts from each protocol in turn, by io_uring or by the calls of 32-bit programs, of which the older one is for
/// all that sockets do.
fn accepts_otherwise(gate: &mut Gate, args: &[String]) -> Result<Value> {
    const ACCEPT4: usize = 364;
    const SOCKETCALL: usize = 102;
    const SOCKETCALL_ACCEPT: usize = 5;
    let by_uring = args.first().is_some_and(|way| way == "io_uring");
    let listeners = LOCALHOSTS.map(|address| TcpListener::bind((address, 0)));
    let listeners = listeners.into_iter().collect::<io::Result<Vec<_>>>()?;
    let mut uring = by_uring.then(Uring::new).transpose();
    let page = sys::low_page();
    let reason = match (&uring, page) {
        (Err(_), _) => Some("this kernel has no io_uring for tests"),
        (Ok(None), None) => Some("this kernel runs no 32-bit programs"),
        (Ok(_), _) => None,
    };
    gate.wait(&reason.map_or(json!({}), |reason| json!({ "skip": reason })))?;
    let mut rows = Vec::new();
    let mut kept = Vec::new();
    for listener in listeners.iter().cycle().take(7) {
        let own = listener.local_addr()?;
        let client = TcpStream::connect(own)?;
        let peer = client.local_addr()?;
        let fd = match &mut uring {
            Ok(Some(uring)) => uring.call(uring::ACCEPT, listener)?,
            _ if rows.len() % 3 == 0 => {
                let at = page.context("a page")?;
                // SAFETY: the page is as long, and ours.
                unsafe { (at as *mut [i32; 3]).write([listener.as_raw_fd(), 0, 0]) };
                sys::call_32(SOCKETCALL, [SOCKETCALL_ACCEPT, at, 0, 0, 0]) as i32
            }
            _ => sys::call_32(ACCEPT4, [listener.as_raw_fd() as usize, 0, 0, 0, 0]) as i32,
        };
        let fd = usize::try_from(fd).map_err(|_| fd.abs());
        let fd = sys::own(fd)?;
        rows.push(row(own, peer, &fd));
        kept.push((client, fd));
    }
    Ok(json!({ "rows": rows }))
}

fn sees_what_io_uring_accepts() -> Result<()> {
    sees_other_accepts("io_uring")
}

fn sees_accepts_of_32_bit_programs() -> Result<()> {
    function_probes()?;
    sees_other_accepts("32-bit")
}

fn sees_other_accepts(way: &str) -> Result<()> {
    let mut load = Load::start(&["accepts-otherwise", way])?;
    let tool = Tool::json("tcpaccept", &["-p", &load.pid()])?;
    let account = load.finish()?;
    let got = tool.interrupt()?.ok()?.rows()?;
    rows::are(&got, rows::wanted(&account)?)?;
    ensure!(got.iter().all(|row| row["queued_us"].is_u64()), "a wait is not known: {got:?}");
    Ok(())
}
