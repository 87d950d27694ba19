//! What network tools share: hooks, filters by address, columns.

use std::time::Duration;

use tracer_common::{
    record::Header,
    sock::{Addresses, MAX_PORTS},
};

use super::{common::duration, interval::Rhythm, plan::Plan};
use crate::{
    bpf::hook::{Hook, Point},
    error::Failure,
    output::{Column, Value},
    system::room,
};

/// State changes of TCP sockets.
pub const STATES: Point = &[&[Hook::TpBtf("inet_sock_set_state")], &[Hook::RawTp("inet_sock_set_state")]];

/// Returns of connect(2). The record's tracepoint costs other system calls next to nothing.
pub const CONNECT: Point = &[
    &[Hook::Tracepoint("syscalls", "sys_exit_connect")],
    &[Hook::TpBtf("sys_exit")],
    &[Hook::RawTp("sys_exit")],
];

/// Returns of accept(2).
const ACCEPT: Point = &[
    &[Hook::Tracepoint("syscalls", "sys_exit_accept"), Hook::Tracepoint("syscalls", "sys_exit_accept4")],
    &[Hook::TpBtf("sys_exit")],
    &[Hook::RawTp("sys_exit")],
];
/// What io_uring does.
const COMPLETIONS: Point = &[&[Hook::Tracepoint("io_uring", "io_uring_complete")]];
/// The calls of 32-bit programs, whose returns have no tracepoint of their own.
const ACCEPT_32: Point = &[&[Hook::Fexit("__ia32_sys_accept4"), Hook::Fexit("__ia32_compat_sys_socketcall")]];

/// Sees sockets as they are accepted.
pub fn plan_accepts(plan: &mut Plan) {
    plan.hook(STATES);
    plan.hook(ACCEPT);
    plan.hook_if_there(COMPLETIONS);
    plan.hook_if_there(ACCEPT_32);
}

/// Sockets that are open.
pub const OPEN_FILES: Point = &[&[Hook::Iter("task_file")]];

/// Finds out whose sockets are as they come to be; with [`OPEN_FILES`], also whose they are already.
pub fn plan_owners(plan: &mut Plan) {
    plan_accepts(plan);
    plan.entries("OWNED_SOCKETS", room::for_sockets());
    plan.set("OWNER_FILTERS", u32::from(plan.filters));
}

/// Filters by a connection's ends.
#[derive(clap::Args)]
pub struct Ends {
    #[command(flatten)]
    pub ip: IpVersion,
    /// Local ports to show
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    local_port: Vec<u16>,
    /// Remote ports to show
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    remote_port: Vec<u16>,
}

impl Ends {
    /// Tells the kernel side.
    ///
    /// # Errors
    /// If there are more ports than it has room for.
    pub fn plan(&self, plan: &mut Plan) -> Result<(), Failure> {
        self.ip.plan(plan);
        plan.set("FILTER_LOCAL_PORTS", u32::from(!self.local_port.is_empty()));
        plan.fill("LOCAL_PORTS", port_keys(&self.local_port)?);
        plan_remote_ports(plan, &self.remote_port)
    }
}

/// Shows these remote ports only, if there are any.
///
/// # Errors
/// If there are more than the kernel side has room for.
pub fn plan_remote_ports(plan: &mut Plan, ports: &[u16]) -> Result<(), Failure> {
    plan.set("FILTER_REMOTE_PORTS", u32::from(!ports.is_empty()));
    plan.fill("REMOTE_PORTS", port_keys(ports)?);
    Ok(())
}

fn port_keys(ports: &[u16]) -> Result<Vec<Vec<u8>>, Failure> {
    if ports.len() > MAX_PORTS as usize {
        return Err(Failure::Usage(format!("at most {MAX_PORTS} ports")));
    }
    Ok(ports.iter().map(|port| port.to_ne_bytes().to_vec()).collect())
}

/// `-4` and `-6`
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct IpVersion {
    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Filters")]
    ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', long, help_heading = "Filters")]
    ipv6: bool,
}

impl IpVersion {
    pub fn plan(self, plan: &mut Plan) {
        let version: u32 = match (self.ipv4, self.ipv6) {
            (true, _) => 4,
            (_, true) => 6,
            _ => 0,
        };
        plan.set("IP_VERSION", version);
    }
}

/// `--summary [INTERVAL [COUNT]]`, and `-c` with or without a number: BCC's `-c` is the summary.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Summary {
    /// Count, and print that at the end or every INTERVAL
    #[arg(long)]
    summary: bool,
    /// With --summary: print and start anew this often (10s, 500ms, or seconds)
    #[arg(value_name = "INTERVAL", value_parser = duration, requires = "summary")]
    interval: Option<Duration>,
    /// Stop after this many intervals
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    intervals: Option<u64>,
    /// Stop after this many rows; without a number, the same as --summary
    #[arg(short, long, value_name = "N", num_args = 0..=1, help_heading = "Run", conflicts_with = "summary",
        value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<Option<u64>>,
}

impl Summary {
    /// Whether a summary is wanted.
    #[must_use]
    pub fn is_wanted(self) -> bool {
        self.summary || self.count == Some(None)
    }

    /// Stop after this many rows.
    #[must_use]
    pub fn limit(self) -> Option<u64> {
        self.count.flatten()
    }

    #[must_use]
    pub fn rhythm(self) -> Rhythm {
        Rhythm { every: self.interval, limit: self.intervals }
    }
}

/// Whose a socket is.
pub fn owner_columns() -> Vec<Column> {
    vec![
        Column::number("pid", 7, "process that connected or accepted, if known"),
        Column::text("comm", 15, "command name"),
    ]
}

#[must_use]
pub fn owner_values(header: &Header) -> Vec<Value<'_>> {
    process_values(header.pid, header.comm())
}

#[must_use]
pub fn process_values(pid: u32, comm: &[u8]) -> Vec<Value<'_>> {
    if pid == 0 { vec![Value::Null; 2] } else { vec![Value::Uint(pid.into()), Value::Text(comm)] }
}

/// Who makes a call.
pub fn caller_columns() -> Vec<Column> {
    vec![
        Column::number("pid", 7, "process"),
        Column::number("tid", 7, "thread").hidden(),
        Column::number("uid", 5, "real user id").hidden(),
        Column::text("comm", 15, "command name"),
    ]
}

#[must_use]
pub fn caller_values(header: &Header) -> Vec<Value<'_>> {
    vec![
        Value::Uint(header.pid.into()),
        Value::Uint(header.tid.into()),
        Value::Uint(header.uid.into()),
        Value::Text(header.comm()),
    ]
}

/// A connection's ends.
pub fn ends_columns() -> Vec<Column> {
    vec![
        Column::number("ip", 2, "version of the protocol: 4 or 6"),
        Column::address("saddr", 15, "local address"),
        Column::number("sport", 5, "local port"),
        Column::address("daddr", 15, "remote address"),
        Column::number("dport", 5, "remote port"),
    ]
}

/// A number, or none where what it stands on is 0.
#[must_use]
pub fn nonzero(number: u64, of: u64) -> Value<'static> {
    if of == 0 { Value::Null } else { Value::Uint(number) }
}

/// A port that is not chosen yet is none, and so is the remote end as long as there is no port.
#[must_use]
pub fn ends_values(ends: &Addresses) -> Vec<Value<'static>> {
    let port = |port: u16| nonzero(port.into(), port.into());
    vec![
        Value::Uint(ends.ip_version().into()),
        Value::Ip(ends.source()),
        port(ends.sport),
        if ends.dport == 0 { Value::Null } else { Value::Ip(ends.destination()) },
        port(ends.dport),
    ]
}

/// A TCP state's name, as the kernel has it.
#[must_use]
pub fn state_name(state: u8) -> &'static str {
    const NAMES: [&str; 13] = [
        "UNKNOWN",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
    ];
    NAMES.get(usize::from(state)).copied().unwrap_or(NAMES[0])
}
