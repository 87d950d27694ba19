//! tcpretrans: segments that a socket filter at the other end drops, so that they are sent again.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, deadline, ensure, equal, json,
        load::{comm, count},
        rows, sys,
        tcp::{self, LOCALHOSTS, drop_longer, drop_nothing, reset_on_close, retransmits},
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "tcpretrans",
    standard: Some(Standard {
        tool: "tcpretrans",
        shape: Shape::Snoop,
        args: &[],
        keys: &["pid", "comm", "ip", "saddr", "sport", "daddr", "dport", "kind", "state"],
        table: &["pid", "comm", "ip", "saddr", "sport", "daddr", "dport", "kind", "state"],
        load: &["retransmits-fast", "7"],
        events: Events::Exactly(7),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_losses_told_by_acks", sees_fast),
        Test::new("sees_probes_and_timeouts", sees_probes_and_timeouts),
        Test::new("sees_handshakes", sees_handshakes),
        Test::new("chooses_ends_and_sums_up", chooses_ends_and_sums_up),
    ],
    workloads: &[
        Workload::new("retransmits-fast", retransmits_fast),
        Workload::new("retransmits-slow", retransmits_slow),
        Workload::new("retransmits-syn", retransmits_syn),
    ],
};

/// What a row says of a segment sent again by `own` to `peer`.
fn row(own: SocketAddr, peer: SocketAddr, kind: &str, state: &str) -> Value {
    json!({
        "pid": sys::pid(), "comm": comm(), "ip": if own.is_ipv4() { 4 } else { 6 },
        "saddr": own.ip().to_string(), "sport": own.port(),
        "daddr": peer.ip().to_string(), "dport": peer.port(), "kind": kind, "state": state,
    })
}

/// A session: the client's end and the server's.
fn session(address: IpAddr) -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((address, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    client.set_nodelay(true)?;
    reset_on_close(&client)?;
    Ok((client, listener.accept()?.0))
}

/// Longer than a header with all its options.
const HEADER: u32 = 60;

/// Waits until a socket has sent so many segments again; the number then.
fn wait_retransmits(stream: &TcpStream, least: u32) -> Result<u32> {
    let until = deadline();
    loop {
        let count = retransmits(stream)?;
        if count >= least {
            return Ok(count);
        }
        ensure!(Instant::now() < until, "nothing is sent again in time");
        thread::sleep(Duration::from_millis(1));
    }
}

/// In each session one segment is dropped, and those after it tell.
fn retransmits_fast(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let session = |turn: u64| {
        let (client, server) = session(LOCALHOSTS[turn as usize % 2])?;
        // Here, since not every user may on every machine.
        drop_longer(&server, HEADER + 100)?;
        Ok((client, server))
    };
    let sessions = (0..count(args)?).map(session).collect::<Result<Vec<_>>>()?;
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for (mut client, server) in sessions {
        client.write_all(&[b'x'; 500])?;
        for _ in 0..5 {
            client.write_all(b"y")?;
        }
        let (own, peer) = (client.local_addr()?, server.local_addr()?);
        let count = wait_retransmits(&client, 1)?;
        rows.extend((0..count).map(|_| row(own, peer, "FAST", "ESTABLISHED")));
    }
    Ok(json!({ "rows": rows }))
}

/// All that is sent is dropped, and nothing tells.
fn retransmits_slow(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (mut client, server) = session(LOCALHOSTS[0])?;
    gate.wait(&json!({}))?;
    drop_longer(&server, HEADER)?;
    for _ in 0..2 {
        client.write_all(&[b'x'; 100])?;
    }
    let count = wait_retransmits(&client, 2)?;
    let (own, peer) = (client.local_addr()?, server.local_addr()?);
    let kind = |index| if index == 0 { "TLP" } else { "RTO" };
    let rows: Vec<_> = (0..count).map(|index| row(own, peer, kind(index), "ESTABLISHED")).collect();
    Ok(json!({ "rows": rows }))
}

/// The answer to a SYN is dropped once.
fn retransmits_syn(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let listener = TcpListener::bind((LOCALHOSTS[0], 0))?;
    let to = listener.local_addr()?;
    let (socket, from) = tcp::bound_socket(LOCALHOSTS[0], libc::SOCK_NONBLOCK)?;
    gate.wait(&json!({}))?;
    drop_longer(&socket, 0)?;
    equal("connect", tcp::connect(&socket, to), libc::EINPROGRESS)?;
    drop_nothing(&socket)?;
    let (server, _) = listener.accept()?;
    let client = TcpStream::from(socket);
    let of = |count: u32, row: Value| (0..count).map(move |_| row.clone());
    let syns = of(retransmits(&client)?, row(from, to, "RTO", "SYN_SENT"));
    let answers = of(retransmits(&server)?, row(to, from, "SYNACK", "NEW_SYN_RECV"));
    Ok(json!({ "rows": syns.chain(answers).collect::<Vec<_>>() }))
}

/// Runs the tool beside a workload: its rows, and the account.
fn run(load: &[&str]) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut load = Load::start(load)?;
    let mut tool = Tool::json("tcpretrans", &["-p", &load.pid()])?;
    let account = load.finish()?;
    let want = rows::wanted(&account)?;
    // A timer on another CPU counts a segment before it is sent.
    want.iter().try_for_each(|_| tool.row().map(drop))?;
    Ok((tool.interrupt()?.ok()?.rows()?, want.clone()))
}

fn sees_fast() -> Result<()> {
    let (got, want) = run(&["retransmits-fast", "7"])?;
    rows::are(&got, &want)
}

fn sees_probes_and_timeouts() -> Result<()> {
    let (got, want) = run(&["retransmits-slow"])?;
    rows::are(&got, &want)
}

fn sees_handshakes() -> Result<()> {
    let (got, want) = run(&["retransmits-syn"])?;
    ensure!(!want.is_empty(), "nothing was sent again");
    rows::are_in_any_order(&got, &want, &["kind"])
}

fn chooses_ends_and_sums_up() -> Result<()> {
    let mut load = Load::start(&["retransmits-fast", "7"])?;
    let start = |args: &[&str]| Tool::json("tcpretrans", &[args, &["-p", &load.pid()]].concat());
    let (six, summary) = (start(&["-6"])?, start(&["--summary"])?);
    let account = load.finish()?;
    let want = rows::wanted(&account)?;
    rows::are(&six.interrupt()?.ok()?.rows()?, &rows::with(want, "ip", &json!(6)))?;
    let got = summary.interrupt()?.ok()?.rows()?;
    let keys = ["pid", "comm", "ip", "saddr", "sport", "daddr", "dport"];
    rows::have_keys(&got, &[&keys[..], &["count", "rto", "fast", "tlp", "synack"]].concat())?;
    equal("segments", rows::sum(&got, "count"), want.len() as u64)?;
    equal("of them fast", rows::sum(&got, "fast"), want.len() as u64)?;
    let port = |row: &Value| row["sport"].clone();
    for row in &got {
        want.iter().find(|want| port(want) == port(row)).context("a row of another socket")?;
    }
    Ok(())
}
