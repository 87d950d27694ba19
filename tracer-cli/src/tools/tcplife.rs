//! tcplife: TCP sessions, how long they lasted and what they carried.

use tracer_common::tools::tcplife::Event;
use zerocopy::FromBytes;

use crate::{
    engine::{
        Plan, Rows,
        common::Count,
        net::{Ends, OPEN_FILES, ends_columns, ends_values, owner_columns, owner_values, plan_owners},
        snoop::Snoop,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct Tcplife {
    #[command(flatten)]
    ends: Ends,
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
    const STACK_OF: Option<&'static str> = Some("the call that connected or accepted");
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan_owners(plan);
        plan.hook_if_there(OPEN_FILES);
        flags.ends.plan(plan)?;
        Ok(Shape::Snoop(Box::new(flags)))
    }
}

impl Snoop for Tcplife {
    fn columns(&self) -> Vec<Column> {
        let bytes = |name, about| Column::number(name, 10, about).unit("bytes");
        let duration = "how long it lasted; unknown if it was open when tracing started";
        let own = vec![
            bytes("tx_bytes", "bytes sent"),
            bytes("rx_bytes", "bytes received"),
            Column::number("duration_us", 11, duration).unit("us"),
            Column::truth("open_at_start", 0, "whether it was open when tracing started").hidden(),
        ];
        [owner_columns(), ends_columns(), own].concat()
    }

    fn limit(&self) -> Option<u64> {
        self.count.count
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        let seen_from_start = event.start_ns != 0;
        let own = vec![
            Value::Uint(event.tx_bytes),
            Value::Uint(event.rx_bytes),
            if seen_from_start {
                Value::Uint(event.header.ns.saturating_sub(event.start_ns) / 1000)
            } else {
                Value::Null
            },
            Value::Bool(!seen_from_start),
        ];
        let values = [owner_values(&event.header), ends_values(&event.addresses), own].concat();
        rows.push(event.header.ns, &values);
    }
}
