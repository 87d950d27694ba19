//! tcpconnect: who connects where.

use tracer_common::tools::tcpconnect::{Event, Key};
use zerocopy::FromBytes;

use crate::{
    engine::{
        Plan, Rows,
        common::{Failed, MaxRows},
        interval::{Delta, Rhythm},
        net::{self, IpVersion},
        snoop::Snoop,
        top::Top,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

pub struct Tcpconnect;

/// Pairs of addresses with a port that a summary has room for.
const KEYS: u32 = 8192;

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    failed: Failed,
    #[command(flatten)]
    ip: IpVersion,
    /// Remote ports to show
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    port: Vec<u16>,
    #[command(flatten)]
    summary: net::Summary,
    #[command(flatten)]
    rows: MaxRows,
}

impl Tool for Tcpconnect {
    const ABOUT: About = About {
        name: "tcpconnect",
        aliases: &[],
        domain: Domain::Network,
        summary: "TCP connections opened: by whom, from where to where, with what result",
    };
    const STACK_OF: Option<&'static str> = Some("the call that connects");
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(net::STATES);
        plan.hook(net::CONNECT);
        plan.set("FAILED_ONLY", u32::from(flags.failed.failed));
        flags.ip.plan(plan);
        net::plan_remote_ports(plan, &flags.port)?;
        let summary = flags.summary.is_wanted();
        plan.set("SUMMARY", u32::from(summary));
        plan.entries("COUNTS", if summary { KEYS } else { 1 });
        Ok(if summary {
            Shape::Top(Box::new(Summary { rhythm: flags.summary.rhythm(), rows: flags.rows }))
        } else {
            Shape::Snoop(Box::new(Connections { limit: flags.summary.limit() }))
        })
    }
}

struct Connections {
    limit: Option<u64>,
}

impl Snoop for Connections {
    fn columns(&self) -> Vec<Column> {
        let own = vec![
            Column::number("errno", 5, "error number, 0 for success or under way").hidden(),
            Column::error("error", 0, "error name"),
        ];
        [net::caller_columns(), net::ends_columns(), own].concat()
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        let own = vec![Value::Int(event.errno.into()), Value::Errno(event.errno)];
        let values = [net::caller_values(&event.header), net::ends_values(&event.addresses), own].concat();
        rows.push(event.header.ns, &values);
    }
}

struct Summary {
    rhythm: Rhythm,
    rows: MaxRows,
}

impl Top for Summary {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::address("saddr", 25, "local address"),
            Column::address("daddr", 25, "remote address"),
            Column::number("dport", 5, "remote port"),
            Column::number("count", 10, "connections"),
        ]
    }

    fn map(&self) -> &'static str {
        "COUNTS"
    }

    fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn max_rows(&self) -> MaxRows {
        self.rows
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
