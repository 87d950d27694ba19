//! tcpconnect: every TCP connect with its ends and its result.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, bail, ensure, equal, json,
        load::{comm, count},
        rows, sys,
        tcp::{LOCALHOSTS, bound_socket, connect},
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "tcpconnect",
    standard: Some(Standard {
        tool: "tcpconnect",
        shape: Shape::Snoop,
        args: &[],
        keys: &["pid", "tid", "uid", "comm", "ip", "saddr", "sport", "daddr", "dport", "errno", "error"],
        table: &["pid", "comm", "ip", "saddr", "sport", "daddr", "dport", "error"],
        load: &["connects", "23"],
        events: Events::Exactly(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_every_connect", sees_every_connect),
        Test::new("sees_failures_only", sees_failures_only),
        Test::new("chooses_families", chooses_families),
        Test::new("chooses_ports", chooses_ports),
        Test::new("sums_up", sums_up),
    ],
    workloads: &[Workload::new("connects", connects), Workload::new("connect-table", connect_table)],
};

/// A row that a connect from `from` to `to` makes.
fn row(from: SocketAddr, to: SocketAddr, errno: i32) -> Value {
    json!({
        "pid": sys::pid(), "tid": sys::tid(), "uid": sys::uid(), "comm": comm(),
        "ip": if to.is_ipv4() { 4 } else { 6 },
        "saddr": from.ip().to_string(), "sport": from.port(),
        "daddr": to.ip().to_string(), "dport": to.port(),
        "errno": errno, "error": (errno != 0).then(|| sys::errno_name(errno)),
    })
}

/// Connects to listeners of its own, by IPv4 and IPv6 in turn.
fn connects(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    let listeners = LOCALHOSTS.map(|address| TcpListener::bind((address, 0)));
    let [v4, v6] = listeners;
    let addresses = [v4, v6].into_iter().map(|listener| {
        let listener = listener?;
        Ok((listener.local_addr()?, listener))
    });
    let addresses: Vec<_> = addresses.collect::<io::Result<_>>()?;
    gate.wait(&json!({ "ports": addresses.iter().map(|(to, _)| to.port()).collect::<Vec<_>>() }))?;
    let targets = addresses.iter().cycle().take(times as usize);
    let rows = targets.map(|(to, listener)| {
        let stream = TcpStream::connect(to)?;
        // A queue that fills up would delay the next.
        let _ = listener.accept()?;
        Ok(row(stream.local_addr()?, *to, 0))
    });
    Ok(json!({ "rows": rows.collect::<io::Result<Vec<_>>>()? }))
}

/// Connects of all sorts, and some that are no TCP.
fn connect_table(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let home = gate.home()?;
    let unix = home.file("socket");
    let _listener = UnixListener::bind(&unix)?;
    let mut cases = Vec::new();
    let (mut listeners, mut keepers) = (Vec::new(), Vec::new());
    for address in LOCALHOSTS {
        let listener = TcpListener::bind((address, 0))?;
        let open = listener.local_addr()?;
        listeners.push(listener);
        let (keeper, closed) = bound_socket(address, 0)?;
        keepers.push(keeper);
        cases.push((bound_socket(address, 0)?, open, 0));
        cases.push((bound_socket(address, libc::SOCK_NONBLOCK)?, open, libc::EINPROGRESS));
        cases.push((bound_socket(address, 0)?, closed, libc::ECONNREFUSED));
    }
    let ports: Vec<_> = cases.iter().map(|((_, from), ..)| from.port()).collect();
    gate.wait(&json!({ "ports": ports }))?;
    let mut rows = Vec::new();
    for ((socket, from), to, errno) in &cases {
        UdpSocket::bind((from.ip(), 0))?.connect(to)?;
        UnixStream::connect(&unix)?;
        equal("errno", connect(socket, *to), *errno)?;
        let shown = if *errno == libc::EINPROGRESS { 0 } else { *errno };
        rows.push(row(*from, *to, shown));
    }
    let to = listeners[0].local_addr()?;
    let thread = thread::spawn(move || Ok::<_, io::Error>(row(TcpStream::connect(to)?.local_addr()?, to, 0)));
    rows.push(thread.join().ok().context("a thread")??);
    // IPv4 by way of an IPv6 socket is IPv4.
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), to.port()))?;
    rows.push(row((Ipv4Addr::LOCALHOST, stream.local_addr()?.port()).into(), to, 0));
    Ok(json!({ "rows": rows }))
}

/// The rows of a run beside [`connect_table`], and its account.
fn run_table(args: &[&str]) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut load = Load::start(&["connect-table"])?;
    let pid = load.pid();
    let tool = Tool::json("tcpconnect", &[args, &["-p", &pid]].concat())?;
    let account = load.finish()?;
    Ok((tool.interrupt()?.ok()?.rows()?, rows::wanted(&account)?.clone()))
}

fn sees_every_connect() -> Result<()> {
    let (got, want) = run_table(&[])?;
    rows::are(&got, &want)?;
    // The source port is the kernel's choice here.
    let mut load = Load::start(&["connects", "23"])?;
    let tool = Tool::json("tcpconnect", &["-p", &load.pid()])?;
    let account = load.finish()?;
    rows::are(&tool.interrupt()?.ok()?.rows()?, rows::wanted(&account)?)
}

fn sees_failures_only() -> Result<()> {
    let (got, mut want) = run_table(&["-x"])?;
    want.retain(|row| row["errno"] != 0);
    rows::are(&got, &want)
}

fn chooses_families() -> Result<()> {
    for (flag, ip) in [("-4", 4), ("-6", 6)] {
        let (got, mut want) = run_table(&[flag])?;
        want.retain(|row| row["ip"] == ip);
        rows::are(&got, &want).with_context(|| flag.to_owned())?;
    }
    Ok(())
}

/// The ports that the workload's listeners have.
fn ports(load: &Load) -> Result<[String; 2]> {
    match load.setup["ports"].as_array().map(Vec::as_slice) {
        Some([v4, v6]) => Ok([v4.to_string(), v6.to_string()]),
        _ => bail!("no ports in {}", load.setup),
    }
}

fn chooses_ports() -> Result<()> {
    let mut load = Load::start(&["connects", "23"])?;
    let [port, _] = ports(&load)?;
    let tool = Tool::json("tcpconnect", &["--port", &format!("1,{port}"), "-p", &load.pid()])?;
    let account = load.finish()?;
    let mut want = rows::wanted(&account)?.clone();
    want.retain(|row| row["dport"].as_u64() == port.parse().ok());
    ensure!(want.len() == 12, "the workload is not what it was");
    rows::are(&tool.interrupt()?.ok()?.rows()?, &want)
}

fn sums_up() -> Result<()> {
    let mut load = Load::start(&["connects", "23"])?;
    let [v4, v6] = ports(&load)?;
    let tool = Tool::json("tcpconnect", &["--summary", "-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    rows::have_keys(&rows, &["saddr", "daddr", "dport", "count"])?;
    let want = [("127.0.0.1", v4, 12), ("::1", v6, 11)].map(|(address, port, count)| {
        let port: u16 = port.parse().unwrap_or(0);
        json!({ "saddr": address, "daddr": address, "dport": port, "count": count })
    });
    rows::are_in_any_order(&rows, &want, &["saddr"])
}
