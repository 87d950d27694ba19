//! tcptop: bytes by session and process, as the workload counts them.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

use crate::{
    harness::{
        Gate, Load, Result, Suite, Test, Tool, Value, Workload, equal, json,
        load::comm,
        rows, sys,
        tcp::{LOCALHOSTS, wait_closed},
    },
    standard::{Events, Shape, Standard, nothing},
};

const KEYS: &[&str] =
    &["pid", "comm", "ip", "saddr", "sport", "daddr", "dport", "proto", "rx_bytes", "tx_bytes"];

pub const SUITE: Suite = Suite {
    name: "tcptop",
    standard: Some(Standard {
        tool: "tcptop",
        shape: Shape::TopBy("tx_bytes"),
        args: &[],
        keys: KEYS,
        table: KEYS,
        load: &["tcp-pairs", "13"],
        // "request" and "answer"
        events: Events::Exactly(13 * 13),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("counts_bytes_of_sessions", counts_bytes_of_sessions),
        Test::new("counts_udp", counts_udp),
        Test::new("prints_intervals", prints_intervals),
    ],
    workloads: &[Workload::new("tcp-talk", tcp_talk), Workload::new("udp-talk", udp_talk)],
};

/// The row of one end.
fn row(own: SocketAddr, peer: Option<SocketAddr>, proto: &str, rx: usize, tx: usize) -> Value {
    json!({
        "pid": sys::pid(), "comm": comm(), "ip": if own.is_ipv4() { 4 } else { 6 },
        "saddr": own.ip().to_string(), "sport": own.port(),
        "daddr": peer.map(|peer| peer.ip().to_string()), "dport": peer.map(|peer| peer.port()),
        "proto": proto, "rx_bytes": rx, "tx_bytes": tx,
    })
}

/// A session's two ends.
struct Session {
    client: TcpStream,
    server: TcpStream,
}

impl Session {
    fn open(address: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((address, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        Ok(Self { client, server: listener.accept()?.0 })
    }

    /// Moves bytes there and back; less than a socket takes without a reader.
    fn talk(&mut self, there: usize, back: usize) -> Result<()> {
        self.client.write_all(&vec![b'c'; there])?;
        self.server.read_exact(&mut vec![0; there])?;
        self.server.write_all(&vec![b's'; back])?;
        self.client.read_exact(&mut vec![0; back])?;
        Ok(())
    }

    fn rows(&self, there: usize, back: usize) -> Result<[Value; 2]> {
        let (client, server) = (self.client.local_addr()?, self.server.local_addr()?);
        Ok([row(client, Some(server), "tcp", back, there), row(server, Some(client), "tcp", there, back)])
    }
}

/// Bytes of a session that was open before the tool, and of one that is over before the end; twice.
fn tcp_talk(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let mut long = Session::open(LOCALHOSTS[0])?;
    long.talk(1009, 2003)?;
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for turn in 1..=2 {
        let (there, back) = (turn * 20_011, turn * 4099);
        long.talk(there, back)?;
        rows.extend(long.rows(there, back)?);
        let mut short = Session::open(LOCALHOSTS[1])?;
        short.talk(back, there)?;
        rows.extend(short.rows(back, there)?);
        for end in [&short.client, &short.server] {
            end.shutdown(std::net::Shutdown::Write)?;
        }
        for end in [&short.client, &short.server] {
            wait_closed(end)?;
        }
        drop(short);
        gate.wait(&json!({ "rows": rows }))?;
        rows.clear();
    }
    Ok(json!({}))
}

const ORDER: [&str; 3] = ["ip", "sport", "dport"];

fn counts_bytes_of_sessions() -> Result<()> {
    let mut load = Load::start(&["tcp-talk"])?;
    let pid = load.pid();
    let all = Tool::json("tcptop", &["-p", &pid])?;
    let six = Tool::json("tcptop", &["-p", &pid, "-6"])?;
    load.go()?;
    let account = load.line()?;
    let want = rows::wanted(&account)?;
    let got = all.interrupt()?.ok()?.rows()?;
    rows::have_keys(&got, KEYS)?;
    rows::are_in_any_order(&got, want, &ORDER)?;
    let sums: Vec<u64> =
        got.iter().map(|row| rows::number(row, "rx_bytes") + rows::number(row, "tx_bytes")).collect();
    equal("from the most bytes to the least", sums.is_sorted_by(|a, b| a >= b), true)?;
    rows::are_in_any_order(&six.interrupt()?.ok()?.rows()?, &rows::with(want, "ip", &json!(6)), &ORDER)
}

fn prints_intervals() -> Result<()> {
    let mut load = Load::start(&["tcp-talk"])?;
    let mut tool = Tool::json("tcptop", &["-p", &load.pid(), "0.3"])?;
    for _ in 0..2 {
        load.go()?;
        let account = load.line()?;
        // An interval may end while the workload is at it, so rows are added up by socket.
        let mut want: Vec<(Value, u64)> = Vec::new();
        for row in rows::wanted(&account)? {
            want.push((row["sport"].clone(), rows::number(row, "tx_bytes")));
        }
        while want.iter().any(|(_, left)| *left > 0) {
            let row = tool.row()?;
            for (_, left) in want.iter_mut().filter(|(port, _)| *port == row["sport"]) {
                let sent = rows::number(&row, "tx_bytes");
                crate::harness::ensure!(sent <= *left, "{left} bytes were left: {row}");
                *left -= sent;
            }
        }
    }
    tool.interrupt()?.ok().map(drop)
}

/// Datagrams between sockets that are connected, and those that are not.
fn udp_talk(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let mut pairs = Vec::new();
    for address in LOCALHOSTS {
        let (one, other) = (UdpSocket::bind((address, 0))?, UdpSocket::bind((address, 0))?);
        one.connect(other.local_addr()?)?;
        pairs.push((one, other));
    }
    gate.wait(&json!({}))?;
    let mut rows = Vec::new();
    for (one, other) in &pairs {
        let (from, to) = (one.local_addr()?, other.local_addr()?);
        for size in [101, 1009] {
            one.send(&vec![b'u'; size])?;
            other.peek(&mut [0; 2000])?;
            other.recv(&mut [0; 2000])?;
        }
        other.send_to(&[b'v'; 211], from)?;
        one.recv(&mut [0; 2000])?;
        rows.push(row(from, Some(to), "udp", 211, 1110));
        rows.push(row(to, None, "udp", 1110, 211));
    }
    Ok(json!({ "rows": rows }))
}

fn counts_udp() -> Result<()> {
    let mut load = Load::start(&["udp-talk"])?;
    let pid = load.pid();
    let both = Tool::json("tcptop", &["--udp", "-p", &pid])?;
    let tcp = Tool::json("tcptop", &["-p", &pid])?;
    let account = load.finish()?;
    rows::are_in_any_order(&both.interrupt()?.ok()?.rows()?, rows::wanted(&account)?, &ORDER)?;
    equal("rows of TCP", tcp.interrupt()?.ok()?.rows()?.len(), 0)
}
