//! tcplife: TCP sessions with their bytes and duration, from the side of each process.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, json,
        load::{comm, count},
        rows, sys,
        tcp::{reset_on_close, wait_closed},
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "tcplife",
    standard: Some(Standard {
        tool: "tcplife",
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
            "tx_bytes",
            "rx_bytes",
            "duration_us",
            "open_at_start",
        ],
        table: &[
            "pid",
            "comm",
            "ip",
            "saddr",
            "sport",
            "daddr",
            "dport",
            "tx_bytes",
            "rx_bytes",
            "duration_us",
        ],
        load: &["tcp-pairs", "13"],
        events: Events::Exactly(26),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("sees_both_sides", sees_both_sides),
        Test::new("sees_ipv6", sees_ipv6),
        Test::new("sees_resets", sees_resets),
        Test::new("sees_sessions_open_at_start", sees_sessions_open_at_start),
        Test::new("chooses_families", chooses_families),
        Test::new("chooses_ports", chooses_ports),
    ],
    workloads: &[
        Workload::new("tcp-pairs", tcp_pairs),
        Workload::new("tcp-server", tcp_server),
        Workload::new("tcp-client", tcp_client),
    ],
};

const SESSIONS: usize = 7;

/// How sessions go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The client closes first.
    Plain,
    /// The server resets.
    Reset,
    /// One session is half done before the tool is there.
    Early,
}

impl Mode {
    const fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Reset => "reset",
            Self::Early => "early",
        }
    }

    fn of(word: &str) -> Self {
        let all = [Self::Plain, Self::Reset];
        all.into_iter().find(|mode| mode.word() == word).unwrap_or(Self::Early)
    }

    const fn sessions(self) -> usize {
        if matches!(self, Self::Early) { 1 } else { SESSIONS }
    }
}

/// What the client sends, and what it gets, in a session.
const fn bytes(session: usize) -> (usize, usize) {
    (1000 + 37 * session, 20_000 + 4099 * session)
}

/// How long a client keeps its session up.
const HOLD: Duration = Duration::from_millis(3);

/// The row of one end of a session; `least_us` is the shortest duration that is right.
fn row(own: SocketAddr, peer: SocketAddr, tx: usize, rx: usize, since: Instant) -> Value {
    json!({
        "pid": sys::pid(), "comm": comm(), "ip": if own.is_ipv4() { 4 } else { 6 },
        "saddr": own.ip().to_string(), "sport": own.port(),
        "daddr": peer.ip().to_string(), "dport": peer.port(),
        "tx_bytes": tx, "rx_bytes": rx, "least_us": since.elapsed().as_micros() as u64,
        "open_at_start": false,
    })
}

/// The client's end: sends, receives, holds, and sends a last byte.
fn client_session(
    server: SocketAddr,
    session: usize,
    mode: Mode,
    pause: impl FnOnce() -> Result<()>,
) -> Result<Value> {
    let (tx, rx) = bytes(session);
    let mut stream = TcpStream::connect(server)?;
    let since = Instant::now();
    stream.write_all(&vec![b'c'; tx])?;
    stream.read_exact(&mut vec![0; rx])?;
    thread::sleep(HOLD);
    pause()?;
    // The server may end the session as soon as it has the last byte.
    let row = row(stream.local_addr()?, server, tx + 1, rx, since);
    stream.write_all(b"!")?;
    if mode == Mode::Reset {
        let error = stream.read(&mut [0]).err();
        let is_reset = error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        ensure!(is_reset, "the server has not reset the session");
    }
    Ok(row)
}

/// The server's end: receives, sends, and waits for the last byte.
fn server_session(
    listener: &TcpListener,
    session: usize,
    mode: Mode,
    pause: impl FnOnce() -> Result<()>,
) -> Result<Value> {
    let (rx, tx) = bytes(session);
    let (mut stream, peer) = listener.accept()?;
    let since = Instant::now();
    stream.read_exact(&mut vec![0; rx])?;
    stream.write_all(&vec![b's'; tx])?;
    pause()?;
    stream.read_exact(&mut [0])?;
    let row = row(stream.local_addr()?, peer, tx, rx + 1, since);
    match mode {
        Mode::Reset => reset_on_close(&stream)?,
        Mode::Plain | Mode::Early => drop(stream.read(&mut [0])?),
    }
    Ok(row)
}

/// Both ends of small sessions, in one process.
fn tcp_pairs(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    gate.wait(&json!({}))?;
    for _ in 0..times {
        let mut client = TcpStream::connect(server)?;
        let (mut accepted, _) = listener.accept()?;
        client.write_all(b"request")?;
        accepted.read_exact(&mut [0; 7])?;
        accepted.write_all(b"answer")?;
        client.read_exact(&mut [0; 6])?;
        for end in [&client, &accepted] {
            end.shutdown(Shutdown::Write)?;
        }
        for end in [&client, &accepted] {
            wait_closed(end)?;
        }
    }
    Ok(json!({}))
}

/// `tcp-server MODE ADDRESS`
fn tcp_server(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let [mode, address] = args else { anyhow::bail!("MODE ADDRESS") };
    let mode = Mode::of(mode);
    let listener = TcpListener::bind((address.parse::<IpAddr>()?, 0))?;
    gate.wait(&json!({ "port": listener.local_addr()?.port() }))?;
    let rows = (0..mode.sessions()).map(|session| {
        let pause = || if mode == Mode::Early { gate.wait(&json!({})) } else { Ok(()) };
        server_session(&listener, session, mode, pause)
    });
    Ok(json!({ "rows": rows.collect::<Result<Vec<_>>>()? }))
}

/// `tcp-client MODE ADDRESS PORT`
fn tcp_client(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let [mode, address, port] = args else { anyhow::bail!("MODE ADDRESS PORT") };
    let mode = Mode::of(mode);
    let server = (address.parse::<IpAddr>()?, port.parse()?).into();
    if mode != Mode::Early {
        gate.wait(&json!({}))?;
    }
    let rows = (0..mode.sessions()).map(|session| {
        let pause = || if mode == Mode::Early { gate.wait(&json!({})) } else { Ok(()) };
        client_session(server, session, mode, pause)
    });
    Ok(json!({ "rows": rows.collect::<Result<Vec<_>>>()? }))
}

/// A server and a client, each a process.
struct Pair {
    server: Load,
    client: Load,
    port: String,
}

impl Pair {
    fn start(mode: Mode, address: &str) -> Result<Self> {
        let mut server = Load::plan(&["tcp-server", mode.word(), address]).named("server").start()?;
        let port = server.setup["port"].to_string();
        let client = ["tcp-client", mode.word(), address, &port];
        if mode == Mode::Early {
            server.go()?;
        }
        let client = Load::plan(&client).named("client").start()?;
        if mode == Mode::Early {
            server.line()?;
        }
        Ok(Self { server, client, port })
    }

    fn pids(&self) -> String {
        format!("{},{}", self.server.id, self.client.id)
    }

    /// Runs all sessions, and returns the rows of (the server, the client).
    fn finish(&mut self) -> Result<(Vec<Value>, Vec<Value>)> {
        self.server.go()?;
        self.client.go()?;
        let client = self.client.done()?;
        let server = self.server.done()?;
        Ok((rows::wanted(&server)?.clone(), rows::wanted(&client)?.clone()))
    }
}

/// Compares the rows; what was held for some time must have lasted as long.
fn expect(got: &[Value], want: &[Value]) -> Result<()> {
    const ORDER: [&str; 3] = ["pid", "sport", "dport"];
    let mut plain = want.to_vec();
    for row in &mut plain {
        row.as_object_mut().context("not an object")?.remove("least_us");
    }
    rows::are_in_any_order(got, &plain, &ORDER)?;
    for want in want.iter().filter(|row| row["open_at_start"] == false) {
        let is_same = |row: &&Value| ORDER.iter().all(|key| row[key] == want[key]);
        let row = got.iter().find(is_same).context("no row")?;
        let (duration, least) = (rows::number(row, "duration_us"), rows::number(want, "least_us"));
        ensure!(duration >= least, "the session lasted {least} us at least: {row}");
    }
    Ok(())
}

/// Whose rows a run is to print.
#[derive(Clone, Copy)]
enum Ends {
    Both,
    Server,
    Client,
    Neither,
}

/// Runs a pair beside the tool, and checks that it prints the rows of these ends.
fn run(mode: Mode, address: &str, ends: Ends, args: impl Fn(&Pair) -> Vec<String>) -> Result<()> {
    let mut pair = Pair::start(mode, address)?;
    let (pids, args) = (pair.pids(), args(&pair));
    let args: Vec<&str> = args.iter().map(String::as_str).chain(["-p", &pids]).collect();
    let mut tool = Tool::json("tcplife", &args)?;
    let (server, client) = pair.finish()?;
    let mut want = match ends {
        Ends::Both => [server, client].concat(),
        Ends::Server => server,
        Ends::Client => client,
        Ends::Neither => Vec::new(),
    };
    if mode == Mode::Early {
        for row in &mut want {
            row["open_at_start"] = true.into();
            row["duration_us"] = Value::Null;
        }
    }
    // A socket is closed when the peer's last acknowledgement is handled, which can be after its process's end.
    for _ in &want {
        tool.row()?;
    }
    expect(&tool.interrupt()?.ok()?.rows()?, &want)
}

fn no_args(_: &Pair) -> Vec<String> {
    Vec::new()
}

fn sees_both_sides() -> Result<()> {
    run(Mode::Plain, "127.0.0.1", Ends::Both, no_args)
}

fn sees_ipv6() -> Result<()> {
    run(Mode::Plain, "::1", Ends::Both, no_args)
}

fn sees_resets() -> Result<()> {
    run(Mode::Reset, "127.0.0.1", Ends::Both, no_args)
}

fn sees_sessions_open_at_start() -> Result<()> {
    for address in ["127.0.0.1", "::1"] {
        run(Mode::Early, address, Ends::Both, no_args).with_context(|| address.to_owned())?;
    }
    Ok(())
}

fn chooses_families() -> Result<()> {
    run(Mode::Plain, "::1", Ends::Both, |_| vec!["-6".to_owned()])?;
    run(Mode::Plain, "::1", Ends::Neither, |_| vec!["-4".to_owned()])
}

fn chooses_ports() -> Result<()> {
    let port = |flag: &'static str| move |pair: &Pair| vec![flag.to_owned(), pair.port.clone()];
    run(Mode::Plain, "127.0.0.1", Ends::Server, port("--local-port"))?;
    run(Mode::Plain, "127.0.0.1", Ends::Client, port("--remote-port"))
}
