//! tcpretrans: which connections lose segments.

use tracer_common::{
    record::until_nul,
    tools::tcpretrans::{Event, Key},
};
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::MaxRows,
        interval::{Delta, Rhythm},
        net::{self, Ends, state_name},
        snoop::Snoop,
        top::Top,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

/// Connections that a summary has room for.
const KEYS: u32 = 16384;

/// The names of the kinds, by number.
const KINDS: [&str; 4] = ["RTO", "FAST", "TLP", "SYNACK"];

pub struct Tcpretrans;

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    summary: net::Summary,
    #[command(flatten)]
    rows: MaxRows,
}

impl Tool for Tcpretrans {
    const ABOUT: About = About {
        name: "tcpretrans",
        aliases: &[],
        domain: Domain::Network,
        summary: "TCP segments sent again: whose, why, in which state",
    };
    const STACK_OF: Option<&'static str> = Some("the call that connected, accepted or listens");
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("tcp_retransmit_skb")], &[Hook::RawTp("tcp_retransmit_skb")]]);
        plan.hook(&[&[Hook::TpBtf("tcp_retransmit_synack")], &[Hook::RawTp("tcp_retransmit_synack")]]);
        net::plan_owners(plan);
        plan.hook_if_there(net::OPEN_FILES);
        flags.ends.plan(plan)?;
        let summary = flags.summary.is_wanted();
        plan.set("SUMMARY", u32::from(summary));
        plan.entries("COUNTS", if summary { KEYS } else { 1 });
        Ok(if summary {
            Shape::Top(Box::new(Summary { rhythm: flags.summary.rhythm(), rows: flags.rows }))
        } else {
            Shape::Snoop(Box::new(Retransmits { limit: flags.summary.limit() }))
        })
    }
}

struct Retransmits {
    limit: Option<u64>,
}

impl Snoop for Retransmits {
    fn columns(&self) -> Vec<Column> {
        let own = vec![
            Column::text("kind", 6, "RTO: timeout; FAST: loss told by an ACK; TLP: tail-loss probe; SYNACK"),
            Column::text("state", 0, "the socket's state"),
        ];
        [net::owner_columns(), net::ends_columns(), own].concat()
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        let kind = KINDS.get(event.kind as usize).copied().unwrap_or_default();
        let own = vec![Value::Text(kind.as_bytes()), Value::Text(state_name(event.state as u8).as_bytes())];
        let values = [net::owner_values(&event.header), net::ends_values(&event.addresses), own].concat();
        rows.push(event.header.ns, &values);
    }
}

struct Summary {
    rhythm: Rhythm,
    rows: MaxRows,
}

impl Top for Summary {
    fn columns(&self) -> Vec<Column> {
        let own = vec![
            Column::number("count", 7, "segments sent again"),
            Column::number("rto", 6, "after a timeout"),
            Column::number("fast", 6, "on an ACK that told of a loss"),
            Column::number("tlp", 6, "as tail-loss probes"),
            Column::number("synack", 6, "answers to a SYN"),
        ];
        [net::owner_columns(), net::ends_columns(), own].concat()
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
        let counters = delta.counters.iter().map(|&count| Value::Uint(count)).collect();
        let owner = net::process_values(key.pid, until_nul(&key.comm));
        rows.push(ns, &[owner, net::ends_values(&key.addresses), counters].concat());
    }
}
