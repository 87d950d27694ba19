//! tcpstates: every change of a socket's state, and who leaves TIME_WAIT behind.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, deadline, ensure, equal, json,
        load::{comm, count},
        rows, sys,
        tcp::{self, FIN_WAIT2, reset_on_close, wait_state},
    },
    standard::{Events, Shape, Standard, nothing},
};

/// Each end of a session goes through five changes, and the listener is closed at last.
const CHANGES: u64 = 13 * 10 + 1;

pub const SUITE: Suite = Suite {
    name: "tcpstates",
    standard: Some(Standard {
        tool: "tcpstates",
        shape: Shape::Snoop,
        args: &[],
        keys: &[
            "pid",
            "comm",
            "ip",
            "saddr",
            "sport",
            "daddr",
            "dport",
            "oldstate",
            "newstate",
            "duration_us",
        ],
        table: &[
            "pid",
            "comm",
            "ip",
            "saddr",
            "sport",
            "daddr",
            "dport",
            "oldstate",
            "newstate",
            "duration_us",
        ],
        load: &["tcp-pairs", "13"],
        events: Events::Exactly(CHANGES),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_every_change", sees_every_change),
        Test::new("chooses_ends", chooses_ends),
        Test::new("names_who_makes_time_wait", names_who_makes_time_wait),
        Test::new("counts_no_time_wait_where_there_is_none", counts_no_time_wait_where_there_is_none),
    ],
    workloads: &[
        Workload::new("tcp-walk", tcp_walk),
        Workload::new("tcp-sink", tcp_sink),
        Workload::new("tcp-prober", tcp_prober),
    ],
};

/// How long the states last that are made to last.
const HOLD: Duration = Duration::from_millis(20);

/// One session, both ends in this process: the client closes first, and each step takes its time.
fn tcp_walk(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let address: IpAddr = args.first().context("no address")?.parse()?;
    gate.wait(&json!({}))?;
    let before = Instant::now();
    let listener = TcpListener::bind((address, 0))?;
    let server = listener.local_addr()?;
    let client = TcpStream::connect(server)?;
    let from = client.local_addr()?;
    thread::sleep(HOLD);
    let (accepted, _) = listener.accept()?;
    client.shutdown(Shutdown::Write)?;
    // The other end may take its time to acknowledge.
    wait_state(&client, FIN_WAIT2)?;
    thread::sleep(HOLD);
    drop(accepted);
    tcp::wait_closed(&client)?;
    drop(listener);
    Ok(json!({ "server": server.port(), "client": from.port(), "comm": comm(),
        "most_us": before.elapsed().as_micros() as u64 }))
}

/// Old state, new state, whether the local port is known, whether the remote end is, whether the duration is,
/// and whether the old state was made to last.
type Step = (&'static str, &'static str, bool, bool, bool, bool);

const CLIENT: &[Step] = &[
    ("CLOSE", "SYN_SENT", false, true, false, false),
    ("SYN_SENT", "ESTABLISHED", true, true, true, false),
    ("ESTABLISHED", "FIN_WAIT1", true, true, true, true),
    ("FIN_WAIT1", "FIN_WAIT2", true, true, true, false),
    ("FIN_WAIT2", "CLOSE", true, true, true, true),
];
const SERVER: &[Step] = &[
    ("LISTEN", "SYN_RECV", true, true, false, false),
    ("SYN_RECV", "ESTABLISHED", true, true, true, false),
    ("ESTABLISHED", "CLOSE_WAIT", true, true, true, true),
    ("CLOSE_WAIT", "LAST_ACK", true, true, true, true),
    ("LAST_ACK", "CLOSE", true, true, true, false),
];
const LISTENER: &[Step] =
    &[("CLOSE", "LISTEN", true, false, false, false), ("LISTEN", "CLOSE", true, false, true, true)];

fn sees_every_change() -> Result<()> {
    for address in ["127.0.0.1", "::1"] {
        let mut load = Load::start(&["tcp-walk", address])?;
        let tool = Tool::json("tcpstates", &["-p", &load.pid()])?;
        let account = load.finish()?;
        let got = tool.interrupt()?.ok()?.rows()?;
        let (server, client) = (&account["server"], &account["client"]);
        let is_listener = |row: &&Value| row["dport"].is_null();
        let (listener, rest): (Vec<_>, Vec<_>) = got.iter().partition(is_listener);
        let (clients, servers): (Vec<_>, Vec<_>) = rest.iter().partition(|row| row["dport"] == *server);
        for (what, rows, steps, ports) in [
            ("client", clients, CLIENT, (client, server)),
            ("server", servers, SERVER, (server, client)),
            ("listener", listener, LISTENER, (server, &Value::Null)),
        ] {
            equal(&format!("changes of the {what}"), rows.len(), steps.len())?;
            for (row, step) in rows.iter().zip(steps) {
                expect_step(row, step, address, ports, &account).with_context(|| format!("{what}: {row}"))?;
            }
        }
    }
    Ok(())
}

fn expect_step(
    row: &Value,
    step: &Step,
    address: &str,
    (sport, dport): (&Value, &Value),
    account: &Value,
) -> Result<()> {
    let (old, new, has_sport, has_remote, has_duration, lasts) = *step;
    let or_null = |is_there: bool, value: &Value| if is_there { value.clone() } else { Value::Null };
    let want = json!({
        "pid": account["pid"], "comm": account["comm"], "oldstate": old, "newstate": new,
        "ip": if address.contains(':') { 6 } else { 4 }, "saddr": address, "sport": or_null(has_sport, sport),
        "daddr": or_null(has_remote, &address.into()), "dport": or_null(has_remote, dport),
    });
    rows::are(std::slice::from_ref(row), &[want])?;
    let most = rows::number(account, "most_us");
    let least = if lasts { HOLD.as_micros() as u64 } else { 0 };
    match row["duration_us"].as_u64() {
        Some(duration) => {
            ensure!(has_duration && (least..=most.max(1)).contains(&duration), "{least} to {most} us");
            Ok(())
        }
        None => equal("known duration", false, has_duration),
    }
}

fn chooses_ends() -> Result<()> {
    let mut load = Load::start(&["tcp-server", "plain", "::1"])?;
    let port = load.setup["port"].to_string();
    let start = |args: &[&str]| Tool::json("tcpstates", args);
    let both = ["--remote-port", &port];
    let tools = [
        (start(&both)?, 35),
        (start(&[&both[..], &["-6"]].concat())?, 35),
        (start(&["-4", both[0], both[1]])?, 0),
    ];
    let mut client = Load::start(&["tcp-client", "plain", "::1", &port])?;
    load.go()?;
    client.go()?;
    client.done()?;
    load.done()?;
    for (mut tool, want) in tools {
        // The last state change may come in an interrupt after the process's end.
        for _ in 0..want {
            tool.row()?;
        }
        equal("rows", tool.interrupt()?.ok()?.rows()?.len(), want)?;
    }
    Ok(())
}

/// `tcp-sink TIMES HOW`: serves sessions that the client ends, with a FIN or, if HOW is another, a reset.
fn tcp_sink(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    let how = args.get(1).context("HOW")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    gate.wait(&json!({ "port": listener.local_addr()?.port() }))?;
    for _ in 0..times {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"x")?;
        match how.as_str() {
            "close" => drop(stream.read(&mut [0])?),
            _ => tcp::wait_closed(&stream)?,
        }
    }
    Ok(json!({}))
}

/// `tcp-prober TIMES HOW PORT`: opens short sessions and ends them first.
fn tcp_prober(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    let [_, how, port] = args else { anyhow::bail!("TIMES HOW PORT") };
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    gate.wait(&json!({}))?;
    let since = Instant::now();
    for turn in 0..times {
        // From a new address each time, since a port in TIME_WAIT may be taken again after a second.
        let [.., high, low] = (turn + 2).to_be_bytes();
        let own = Ipv4Addr::new(127, 1, high, low).into();
        let socket = tcp::socket(own, 0)?;
        tcp::bind(&socket, (own, 0).into())?;
        equal("connect", tcp::connect(&socket, server), 0)?;
        let mut stream = TcpStream::from(socket);
        match how.as_str() {
            "close" => stream.read_exact(&mut [0])?,
            "reset" => {
                stream.read_exact(&mut [0])?;
                reset_on_close(&stream)?;
            }
            _ => {
                stream.peek(&mut [0])?;
                stream.shutdown(Shutdown::Write)?;
                wait_state(&stream, FIN_WAIT2)?;
            }
        }
    }
    Ok(json!({ "comm": comm(), "took_us": since.elapsed().as_micros() as u64 }))
}

/// The sockets in TIME_WAIT towards a port, and those at either end that are not closed yet.
fn time_waits(port: u16) -> Result<(u64, u64)> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    let port = format!(":{port:04X}");
    let (mut waiting, mut open) = (0, 0);
    for line in table.lines() {
        let [_, local, remote, state, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
        waiting += u64::from(remote.ends_with(&port) && state == "06");
        open += u64::from((local.ends_with(&port) || remote.ends_with(&port)) && state != "06");
    }
    Ok((waiting, open))
}

/// Runs a prober; returns the summary's rows of it, its account and the server's port.
fn probe(times: u64, how: &str, time_waits_made: u64) -> Result<(Vec<Value>, Value, u16)> {
    let times = times.to_string();
    let mut server = Load::plan(&["tcp-sink", &times, how]).named("server").start()?;
    let port = rows::number(&server.setup, "port") as u16;
    let mut prober = Load::plan(&["tcp-prober", &times, how, &port.to_string()]).named("prober").start()?;
    let tool = Tool::json("tcpstates", &["--summary", "--rows", "0"])?;
    server.go()?;
    let account = prober.finish()?;
    server.done()?;
    let until = deadline();
    while time_waits(port)?.1 != 0 {
        ensure!(Instant::now() < until, "some sockets are not closed");
        thread::sleep(Duration::from_millis(5));
    }
    // On a slow machine a FIN may be sent again, and the answer to that end a TIME_WAIT early (RFC 1337).
    let (waiting, _) = time_waits(port)?;
    let most = time_waits_made;
    ensure!((most - most / 100..=most).contains(&waiting), "{waiting} sockets in TIME_WAIT, not {most}");
    // A socket is seen in TIME_WAIT before the kernel says that the old one is closed.
    sys::rcu_grace_period()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    Ok((rows::with(&rows, "pid", &account["pid"]), account, port))
}

fn row_of<'a>(rows: &'a [Value], old: &str, new: &str) -> Result<&'a Value> {
    let mut found = rows.iter().filter(|row| row["oldstate"] == old && row["newstate"] == new);
    let row = found.next().with_context(|| format!("no {old} to {new}: {rows:?}"))?;
    ensure!(found.next().is_none(), "{old} to {new} is there twice: {rows:?}");
    Ok(row)
}

fn names_who_makes_time_wait() -> Result<()> {
    const TIMES: u64 = 997;
    let before = Instant::now();
    let (got, account, port) = probe(TIMES, "close", TIMES)?;
    let most_seconds = before.elapsed().as_secs_f64();
    rows::have_keys(
        &got,
        &["pid", "comm", "oldstate", "newstate", "daddr", "sport", "dport", "count", "per_s", "avg_us"],
    )?;
    equal("rows", got.len(), 5)?;
    let row = &got[0];
    equal("the first row", row, row_of(&got, "FIN_WAIT2", "TIME_WAIT")?)?;
    let want = json!({
        "pid": account["pid"], "comm": "prober", "daddr": "127.0.0.1", "sport": null, "dport": port,
        "count": TIMES,
    });
    rows::are(std::slice::from_ref(row), &[want])?;
    for (old, new) in [
        ("CLOSE", "SYN_SENT"),
        ("SYN_SENT", "ESTABLISHED"),
        ("ESTABLISHED", "FIN_WAIT1"),
        ("FIN_WAIT1", "FIN_WAIT2"),
    ] {
        equal(&format!("{old} to {new}"), rows::number(row_of(&got, old, new)?, "count"), TIMES)?;
    }
    let rate = row["per_s"].as_f64().context("no rate")?;
    let least_seconds = rows::number(&account, "took_us") as f64 / 1e6;
    let seconds = TIMES as f64 / rate;
    ensure!(
        (least_seconds * 0.99..most_seconds * 1.01).contains(&seconds),
        "{rate} a second, but it took {least_seconds} to {most_seconds} s"
    );
    // No state can last longer than the whole.
    let most = most_seconds * 1e6;
    ensure!(row["avg_us"].as_f64().is_some_and(|us| us < most), "the average is wrong: {row}");
    Ok(())
}

fn counts_no_time_wait_where_there_is_none() -> Result<()> {
    for (times, how, old) in [(97, "reset", "ESTABLISHED"), (3, "unread", "FIN_WAIT2")] {
        let (got, ..) = probe(times, how, 0)?;
        ensure!(got.iter().all(|row| row["newstate"] != "TIME_WAIT"), "{how}: TIME_WAIT: {got:?}");
        equal(how, rows::number(row_of(&got, old, "CLOSE")?, "count"), times)?;
    }
    Ok(())
}
