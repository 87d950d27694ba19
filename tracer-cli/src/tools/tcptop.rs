//! tcptop: which sessions and processes move how many bytes.

use tracer_common::{record::until_nul, tools::tcptop::Key};
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Interval, MaxRows},
        interval::{Delta, Rhythm},
        net::{self, Ends},
        top::Top,
    },
    output::{Column, Value},
    system::room,
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct Tcptop {
    /// Count UDP too
    #[arg(long)]
    udp: bool,
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    rows: MaxRows,
    #[command(flatten)]
    interval: Interval,
}

impl Tool for Tcptop {
    const ABOUT: About = About {
        name: "tcptop",
        aliases: &[],
        domain: Domain::Network,
        summary: "Bytes sent and received by TCP session and process; with --udp, by UDP socket too",
    };
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        net::plan_owners(plan);
        plan.entries("READ", room::for_sockets());
        plan.hook(net::OPEN_FILES);
        if flags.udp {
            plan.hook(&[
                &[Hook::TpBtf("sock_send_length"), Hook::TpBtf("sock_recv_length")],
                &[Hook::RawTp("sock_send_length"), Hook::RawTp("sock_recv_length")],
                &[
                    Hook::Fentry("udp_sendmsg"),
                    Hook::Fentry("udpv6_sendmsg"),
                    Hook::Fentry("skb_consume_udp"),
                ],
                &[
                    Hook::Kprobe("udp_sendmsg"),
                    Hook::Kprobe("udpv6_sendmsg"),
                    Hook::Kprobe("skb_consume_udp"),
                ],
            ]);
        }
        flags.ends.plan(plan)?;
        Ok(Shape::Top(Box::new(flags)))
    }
}

impl Top for Tcptop {
    fn columns(&self) -> Vec<Column> {
        let own = vec![
            Column::text("proto", 5, "tcp or udp"),
            Column::number("rx_bytes", 12, "bytes received").unit("bytes"),
            Column::number("tx_bytes", 12, "bytes sent").unit("bytes"),
        ];
        [net::owner_columns(), net::ends_columns(), own].concat()
    }

    fn map(&self) -> &'static str {
        "COUNTS"
    }

    fn rhythm(&self) -> Rhythm {
        Rhythm { every: self.interval.interval, limit: self.interval.limit() }
    }

    fn max_rows(&self) -> MaxRows {
        self.rows
    }

    fn iterates(&self) -> bool {
        true
    }

    /// The most bytes first.
    fn interval(&mut self, ns: u64, mut deltas: Vec<Delta>, max: usize, rows: &mut Rows<'_>) {
        deltas.sort_by_cached_key(|delta| {
            (std::cmp::Reverse(delta.counters.iter().sum::<u64>()), delta.key.clone())
        });
        deltas.iter().take(max).for_each(|delta| self.row(ns, delta, rows));
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let Ok(key) = Key::ref_from_bytes(&delta.key) else { return };
        let [tx_bytes, rx_bytes] = delta.counters[..] else { return };
        let protocol = if key.protocol == libc::IPPROTO_UDP as u32 { "udp" } else { "tcp" };
        let owner = net::process_values(key.pid, until_nul(&key.comm));
        let own = vec![Value::Text(protocol.as_bytes()), Value::Uint(rx_bytes), Value::Uint(tx_bytes)];
        rows.push(ns, &[owner, net::ends_values(&key.addresses), own].concat());
    }
}
