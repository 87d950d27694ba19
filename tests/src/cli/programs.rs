//! Programs of other languages, and large ones: with what they need where it is installed.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    Context, Load, Result, Scratch, Suite, Test, Tool, Value, bail, deadline, ensure, extra, rows, skip,
    tool, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::programs",
    standard: None,
    tests: &[
        Test::new("go_functions_have_names", go_functions_have_names),
        Test::new("compiled_scripts_have_names", compiled_scripts_have_names),
        Test::new("etcd_tells_what_it_does", etcd_tells_what_it_does),
    ],
    workloads: &[],
};

/// A program in PATH.
fn installed(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| skip(format!("{name} is not installed")))
}

/// What rows with such a function on their stacks weigh.
fn weight(rows: &[Value], stack: &str, function: &str, key: &str) -> u64 {
    let is_its = |row: &&Value| {
        let mut names = row[stack].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.any(|name| name.contains(function))
    };
    rows::sum(&rows.iter().filter(is_its).cloned().collect::<Vec<_>>(), key)
}

/// Seven parts of ten are the first function's, within five points.
fn is_seventy(weights: [u64; 2]) -> Result<()> {
    let share = weights[0] as f64 / (weights[0] + weights[1]).max(1) as f64;
    ensure!((0.65..=0.75).contains(&share), "70 % were expected, of {weights:?}");
    Ok(())
}

/// A program in Go, stripped of all names but those that Go itself needs.
fn go_functions_have_names() -> Result<()> {
    let program = extra::file("shapes-go")?;
    let start = |words: [&str; 2]| Load::start(&[&["become", "/", tool::arg(&program)], &words[..]].concat());
    let run = |words: [&str; 2], name: &str, args: &[&str]| -> Result<(Value, Vec<Value>)> {
        let mut load = start(words)?;
        let tool = Tool::json(name, &[args, &["-p", &load.pid()]].concat())?;
        let account = load.finish()?;
        Ok((account, tool.interrupt()?.ok()?.rows()?))
    };
    let functions = |verb: &str| ["Seventy", "Thirty"].map(|part| format!("main.{verb}{part}"));
    let (_, rows) = run(["burn", "60"], "profile", &["--hz", "4999"])?;
    is_seventy(functions("burn").map(|function| weight(&rows, "user_stack", &function, "count")))?;
    let (account, rows) = run(["grow", "10"], "memgrow", &[])?;
    let grown = functions("grow").map(|function| weight(&rows, "user_stack", &function, "growth_bytes"));
    is_seventy(grown).context("of memory")?;
    let bytes = ["seventy", "thirty"].map(|part| rows::number(&account, part)).iter().sum::<u64>();
    let total = grown.iter().sum::<u64>();
    // Go uses memory again, and has some of its own.
    ensure!(total.abs_diff(bytes) <= bytes / 10, "{bytes} bytes were touched, and {total} seen: {rows:?}");
    let idle = start(["grow", "0"])?;
    let output = tracer(&["memleak", "-p", &idle.pid()]).output()?;
    let line = output.fails(4)?;
    ensure!(line.contains("a Go program does not use any: see memgrow"), "{line}");
    Ok(())
}

/// Code that is compiled when it runs, by the list that node writes of it.
fn compiled_scripts_have_names() -> Result<()> {
    // Rounds of different lengths, as of equal ones samples might meet the same part each time.
    const SCRIPT: &str = "
        function turn(n) { let x = 0; for (let i = 0; i < n; i++) x = (x * 31 + i) | 0; return x; }
        function burnSeventy(n) { return turn(7 * n); }
        function burnThirty(n) { return turn(3 * n); }
        for (let round = 0; round < 900; round++) {
            const n = 5000 + round * 7919 % 10000;
            burnSeventy(n); burnThirty(n);
        }
        console.log(process.pid);";
    let node = installed("node")?;
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    let words = ["profile", "--hz", "4999", "--json", "-o", &file, "--", tool::arg(&node)];
    // Functions stay apart, and keep their frames.
    let log = format!("--logfile={}", scratch.file("v8.log"));
    let flags = [
        "--perf-basic-prof",
        "--interpreted-frames-native-stack",
        "--no-turbo-inlining",
        // Else it leaves one where the tests are run.
        "--no-logfile-per-isolate",
        &log,
        "-e",
        SCRIPT,
    ];
    let output = tracer(&[&words[..], &flags].concat()).output()?.ok()?;
    let _ = fs::remove_file(format!("/tmp/perf-{}.map", output.text()?.trim()));
    let rows = rows::parse(&fs::read_to_string(file)?)?;
    let samples = ["burnSeventy", "burnThirty"].map(|name| weight(&rows, "user_stack", name, "count"));
    is_seventy(samples)
}

/// etcd, alone on two ports of its own.
struct Etcd {
    child: Child,
    client: SocketAddrV4,
    _data: Scratch,
}

impl Etcd {
    fn start() -> Result<Self> {
        let program = installed("etcd")?;
        let data = Scratch::new()?;
        let free = || -> Result<SocketAddrV4> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port()))
        };
        let (client, peer) = (free()?, free()?);
        let [clients, peers] = [client, peer].map(|address| format!("http://{address}"));
        let mut command = Command::new(program);
        command.args(["--data-dir", data.arg(), "--initial-cluster", &format!("default={peers}")]);
        for flag in ["--listen-client-urls", "--advertise-client-urls"] {
            command.args([flag, &clients]);
        }
        for flag in ["--listen-peer-urls", "--initial-advertise-peer-urls"] {
            command.args([flag, &peers]);
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { child, client, _data: data })
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Waits until it takes a write, which it does as soon as it leads itself.
    fn wait(&self) -> Result<()> {
        let until = deadline();
        while self.put(1, 1).is_err() {
            ensure!(Instant::now() < until, "etcd does not become ready");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Writes values of so many bytes under as many keys.
    fn put(&self, keys: u32, bytes: usize) -> Result<()> {
        let stream = TcpStream::connect(self.client)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        for key in 0..keys {
            // What is neither + nor / nor = means bytes in base 64.
            let body =
                format!("{{\"key\":\"k{key:07}\",\"value\":\"{}\"}}", "abcd".repeat(bytes.div_ceil(3)));
            let head =
                format!("POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes())?;
            let (mut status, mut line, mut length) = (String::new(), String::new(), 0);
            reader.read_line(&mut status)?;
            ensure!(status.starts_with("HTTP/1.1 200"), "etcd says {status:?}");
            while line != "\r\n" {
                line.clear();
                ensure!(reader.read_line(&mut line)? > 0, "etcd hangs up");
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse()?;
                }
            }
            reader.read_exact(&mut vec![0; length])?;
        }
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The case of docs/etcd.md: which functions make it grow, where it spends its time, and what it waits for.
fn etcd_tells_what_it_does() -> Result<()> {
    let etcd = Etcd::start()?;
    etcd.wait()?;
    let pid = etcd.pid();
    let start = |name, args: &[&str]| Tool::json(name, &[args, &["-p", &pid]].concat());
    let tools = [start("memgrow", &[])?, start("profile", &["--hz", "4999"])?, start("offcputime", &[])?];
    etcd.put(100, 20_000)?;
    let mut results = Vec::new();
    for tool in tools {
        results.push(tool.interrupt()?.ok()?.rows()?);
    }
    let [grown, sampled, waited] = &results[..] else { bail!("three tools were expected") };
    // Each write is kept, and more than once.
    let bytes = weight(grown, "user_stack", "etcd", "growth_bytes");
    ensure!(bytes >= 100 * 20_000, "{bytes} bytes in etcd's functions: {grown:?}");
    for (rows, stack, function, key) in [
        (sampled, "user_stack", "wal.(*WAL).Save", "count"),
        (waited, "user_stack", "fileutil.Fdatasync", "total_us"),
        (waited, "kernel_stack", "fsync", "total_us"),
    ] {
        ensure!(weight(rows, stack, function, key) > 0, "nothing in {function}: {rows:?}");
    }
    Ok(())
}
