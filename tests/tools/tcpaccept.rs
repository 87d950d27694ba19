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

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json,
        load::{comm, count},
        rows, sys,
        tcp::LOCALHOSTS,
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
    ],
    workloads: &[Workload::new("accepts", accepts), Workload::new("accepts-late", accepts_late)],
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
    let (waited, least) = (rows::number(&got[1], "queued_us"), rows::number(&account, "least_us"));
    let most = rows::number(&account, "most_us");
    ensure!((least..=most).contains(&waited), "the wait was {least} to {most} us: {}", got[1]);
    Ok(())
}
