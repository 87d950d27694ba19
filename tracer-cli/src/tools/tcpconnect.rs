//! tcpconnect: who connects where.

use tracer_common::tools::tcpconnect::{Event, Key, MAX_PORTS};
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Failed, IpVersion, ports},
        interval::{Delta, Rhythm},
        snoop::Snoop,
        top::Top,
    },
    error::Failure,
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

pub struct Tcpconnect;

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    failed: Failed,
    #[command(flatten)]
    ip: IpVersion,
    /// Remote ports to show
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    port: Vec<u16>,
    /// Count connections by addresses and remote port, and print that at the end
    #[arg(long)]
    summary: bool,
    /// Stop after this many rows; without a number, the same as --summary
    #[arg(short, long, value_name = "N", num_args = 0..=1, help_heading = "Run", conflicts_with = "summary")]
    count: Option<Option<u64>>,
}

impl Tool for Tcpconnect {
    const ABOUT: About = About {
        name: "tcpconnect",
        aliases: &[],
        domain: Domain::Network,
        summary: "TCP connections opened: by whom, from where to where, with what result",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("inet_sock_set_state")], &[Hook::RawTp("inet_sock_set_state")]]);
        // The record's tracepoint costs other system calls next to nothing.
        plan.hook(&[
            &[Hook::Tracepoint("syscalls", "sys_exit_connect")],
            &[Hook::TpBtf("sys_exit")],
            &[Hook::RawTp("sys_exit")],
        ]);
        if flags.count == Some(Some(0)) {
            return Err(Failure::Usage("--count must be above 0".to_owned()).into());
        }
        let summary = flags.summary || flags.count == Some(None);
        plan.set("FAILED_ONLY", u32::from(flags.failed.failed));
        plan.set("IP_VERSION", flags.ip.version());
        plan.set("SUMMARY", u32::from(summary));
        plan.set("FILTER_PORTS", u32::from(!flags.port.is_empty()));
        plan.fill("PORTS", ports(&flags.port, MAX_PORTS)?);
        Ok(if summary {
            Shape::Top(Box::new(Summary))
        } else {
            Shape::Snoop(Box::new(Connections { limit: flags.count.flatten() }))
        })
    }
}

struct Connections {
    limit: Option<u64>,
}

impl Snoop for Connections {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process"),
            Column::number("tid", 7, "thread").hidden(),
            Column::number("uid", 5, "real user id").hidden(),
            Column::text("comm", 15, "command name"),
            Column::number("ip", 2, "version of the protocol: 4 or 6"),
            Column::text("saddr", 15, "local address"),
            Column::number("sport", 5, "local port"),
            Column::text("daddr", 15, "remote address"),
            Column::number("dport", 5, "remote port"),
            Column::number("errno", 5, "error number, 0 for success or under way").hidden(),
            Column::text("error", 0, "error name"),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        let (header, addresses) = (&event.header, &event.addresses);
        rows.push(
            header.ns,
            &[
                Value::Uint(header.pid.into()),
                Value::Uint(header.tid.into()),
                Value::Uint(header.uid.into()),
                Value::Text(header.comm()),
                Value::Uint(addresses.ip_version().into()),
                Value::Ip(addresses.source()),
                Value::Uint(addresses.sport.into()),
                Value::Ip(addresses.destination()),
                Value::Uint(addresses.dport.into()),
                Value::Int(event.errno.into()),
                Value::Errno(event.errno),
            ],
        );
    }
}

struct Summary;

impl Top for Summary {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("saddr", 25, "local address"),
            Column::text("daddr", 25, "remote address"),
            Column::number("dport", 5, "remote port"),
            Column::number("count", 10, "connections"),
        ]
    }

    fn map(&self) -> &'static str {
        "COUNTS"
    }

    fn rhythm(&self) -> Rhythm {
        Rhythm::default()
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let Ok(key) = Key::ref_from_bytes(&delta.key) else { return };
        let count = delta.counters.first().copied().unwrap_or(0);
        rows.push(
            ns,
            &[
                Value::Ip(key.source()),
                Value::Ip(key.destination()),
                Value::Uint(key.dport.into()),
                Value::Uint(count),
            ],
        );
    }
}
