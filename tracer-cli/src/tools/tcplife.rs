//! tcplife: TCP sessions, how long they lasted and what they carried.

use tracer_common::tools::tcplife::Event;
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Count, IpVersion},
        snoop::Snoop,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct Tcplife {
    #[command(flatten)]
    ip: IpVersion,
    /// Local ports to show
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    local_port: Vec<u16>,
    /// Remote ports to show
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    remote_port: Vec<u16>,
    #[command(flatten)]
    count: Count,
}

impl Tool for Tcplife {
    const ABOUT: About = About {
        name: "tcplife",
        aliases: &[],
        domain: Domain::Network,
        summary: "TCP sessions as they end: whose, how long, bytes sent and received",
    };
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("inet_sock_set_state")], &[Hook::RawTp("inet_sock_set_state")]]);
        plan.hook(&[
            &[
                Hook::Tracepoint("syscalls", "sys_exit_accept"),
                Hook::Tracepoint("syscalls", "sys_exit_accept4"),
            ],
            &[Hook::TpBtf("sys_exit")],
            &[Hook::RawTp("sys_exit")],
        ]);
        // Sessions that are open already.
        plan.hook_if_there(&[&[Hook::Iter("task_file")]]);
        plan.set("FILTERS", u32::from(plan.filters));
        Ok(Shape::Snoop(Box::new(flags)))
    }
}

impl Snoop for Tcplife {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process"),
            Column::text("comm", 15, "command name"),
            Column::number("ip", 2, "version of the protocol: 4 or 6"),
            Column::text("saddr", 15, "local address"),
            Column::number("sport", 5, "local port"),
            Column::text("daddr", 15, "remote address"),
            Column::number("dport", 5, "remote port"),
            Column::number("tx_bytes", 10, "bytes sent").unit("bytes"),
            Column::number("rx_bytes", 10, "bytes received").unit("bytes"),
            Column::number(
                "duration_us",
                11,
                "how long it lasted; unknown if it was open when tracing started",
            )
            .unit("us"),
            Column::text("open_at_start", 0, "whether it was open when tracing started").hidden(),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.count.count
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        if !self.wants(event) {
            return;
        }
        let (header, addresses) = (&event.header, &event.addresses);
        let (owned, seen_from_start) = (header.pid != 0, event.start_ns != 0);
        rows.push(
            header.ns,
            &[
                if owned { Value::Uint(header.pid.into()) } else { Value::Null },
                if owned { Value::Text(header.comm()) } else { Value::Null },
                Value::Uint(addresses.ip_version().into()),
                Value::Ip(addresses.source()),
                Value::Uint(addresses.sport.into()),
                Value::Ip(addresses.destination()),
                Value::Uint(addresses.dport.into()),
                Value::Uint(event.tx_bytes),
                Value::Uint(event.rx_bytes),
                if seen_from_start {
                    Value::Uint(header.ns.saturating_sub(event.start_ns) / 1000)
                } else {
                    Value::Null
                },
                Value::Bool(!seen_from_start),
            ],
        );
    }
}

impl Tcplife {
    /// A session's end is rare enough to be filtered here.
    fn wants(&self, event: &Event) -> bool {
        let is_one_of = |ports: &[u16], port| ports.is_empty() || ports.contains(&port);
        let version = self.ip.version();
        (version == 0 || version == u32::from(event.addresses.ip_version()))
            && is_one_of(&self.local_port, event.addresses.sport)
            && is_one_of(&self.remote_port, event.addresses.dport)
    }
}
