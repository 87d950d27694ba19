//! tcpstates: how TCP sockets go from state to state, and who makes TIME_WAIT.

use tracer_common::{
    record::until_nul,
    tools::tcpstates::{Event, Key},
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
    output::{Clock, Column, Value},
    tool::{About, Domain, Shape, Tool},
};

/// Sockets that can wait for an owner, and keys that a summary has room for.
const HELD: u32 = 16384;
const KEYS: u32 = 16384;
/// The kernel's number of the state.
const TIME_WAIT: u16 = 6;

pub struct Tcpstates;

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    summary: net::Summary,
    #[command(flatten)]
    rows: MaxRows,
}

impl Tool for Tcpstates {
    const ABOUT: About = About {
        name: "tcpstates",
        aliases: &[],
        domain: Domain::Network,
        summary: "TCP state changes with the time in each state; with --summary, who makes TIME_WAIT",
    };
    const STACK_OF: Option<&'static str> =
        Some("the call that last made the socket its process's: connecting, accepting, listening or closing");
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        net::plan_owners(plan);
        plan.hook_if_there(net::OPEN_FILES);
        flags.ends.plan(plan)?;
        let summary = flags.summary.is_wanted();
        if summary {
            plan.hook(&[&[Hook::TpBtf("tcp_send_reset")], &[Hook::RawTp("tcp_send_reset")]]);
            plan.hook(&[&[Hook::TpBtf("tcp_destroy_sock")], &[Hook::RawTp("tcp_destroy_sock")]]);
        }
        let holds = summary || plan.filters;
        plan.set("SUMMARY", u32::from(summary));
        plan.set("HOLD", u32::from(holds));
        plan.entries("HELD", if holds { HELD } else { 1 });
        plan.entries("COUNTS", if summary { KEYS } else { 1 });
        Ok(if summary {
            let (rhythm, rows) = (flags.summary.rhythm(), flags.rows);
            Shape::Top(Box::new(Summary { rhythm, rows, since: Clock::monotonic_ns() }))
        } else {
            Shape::Snoop(Box::new(Changes { limit: flags.summary.limit() }))
        })
    }
}

fn state_columns() -> Vec<Column> {
    vec![Column::text("oldstate", 11, "state before"), Column::text("newstate", 11, "state after")]
}

fn state_values(old: u32, new: u32) -> Vec<Value<'static>> {
    [old, new].map(|state| Value::Text(state_name(state as u8).as_bytes())).to_vec()
}

struct Changes {
    limit: Option<u64>,
}

impl Snoop for Changes {
    fn columns(&self) -> Vec<Column> {
        let own = vec![Column::number("duration_us", 11, "time in the old state, if known").unit("us")];
        [net::owner_columns(), net::ends_columns(), state_columns(), own].concat()
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        let (owner, ends) = (net::owner_values(&event.header), net::ends_values(&event.addresses));
        let duration = net::nonzero(event.duration_ns / 1000, event.duration_ns);
        let values = [owner, ends, state_values(event.old, event.new), vec![duration]].concat();
        rows.push(event.header.ns, &values);
    }
}

struct Summary {
    rhythm: Rhythm,
    rows: MaxRows,
    /// When the interval began.
    since: u64,
}

impl Top for Summary {
    fn columns(&self) -> Vec<Column> {
        let ends = vec![
            Column::address("daddr", 15, "remote address, for TIME_WAIT"),
            Column::number("sport", 5, "local port, if the connection was accepted"),
            Column::number("dport", 5, "remote port, if it was connected"),
        ];
        let counts = vec![
            Column::number("count", 9, "changes"),
            Column::number("per_s", 10, "changes a second").unit("1/s"),
            Column::number("avg_us", 11, "time in the old state, on average").unit("us"),
        ];
        [net::owner_columns(), state_columns(), ends, counts].concat()
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

    /// TIME_WAIT comes first.
    fn interval(&mut self, ns: u64, mut deltas: Vec<Delta>, max: usize, rows: &mut Rows<'_>) {
        deltas.sort_by_cached_key(|delta| {
            let waits = Key::ref_from_bytes(&delta.key).is_ok_and(|key| key.new == TIME_WAIT);
            (!waits, std::cmp::Reverse(count(delta)), delta.key.clone())
        });
        deltas.iter().filter(|delta| count(delta) > 0).take(max).for_each(|delta| self.row(ns, delta, rows));
        self.since = ns;
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let Ok(key) = Key::ref_from_bytes(&delta.key) else { return };
        let [.., timed, total_ns] = delta.counters[..] else { return };
        let owner = net::process_values(key.pid, until_nul(&key.comm));
        let ends = &key.addresses;
        let port = |port: u16| net::nonzero(port.into(), port.into());
        let ends = vec![
            if ends.family == 0 { Value::Null } else { Value::Ip(ends.destination()) },
            port(ends.sport),
            port(ends.dport),
        ];
        let seconds = ns.saturating_sub(self.since) as f64 / 1e9;
        let counts = vec![
            Value::Uint(count(delta)),
            Value::Float(count(delta) as f64 / seconds, 1),
            net::nonzero(total_ns.checked_div(timed * 1000).unwrap_or(0), timed),
        ];
        rows.push(ns, &[owner, state_values(key.old.into(), key.new.into()), ends, counts].concat());
    }
}

/// The changes that were what they seemed.
fn count(delta: &Delta) -> u64 {
    match delta.counters[..] {
        [count, cancelled, ..] => count.saturating_sub(cancelled),
        _ => 0,
    }
}
