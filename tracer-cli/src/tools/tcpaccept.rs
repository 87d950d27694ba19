//! tcpaccept: who accepts connections from where.

use tracer_common::tools::tcpaccept::Event;
use zerocopy::FromBytes;

use crate::{
    engine::{
        Plan, Rows,
        common::Count,
        net::{self, Ends},
        snoop::Snoop,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct Tcpaccept {
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    count: Count,
}

impl Tool for Tcpaccept {
    const ABOUT: About = About {
        name: "tcpaccept",
        aliases: &[],
        domain: Domain::Network,
        summary: "TCP connections accepted: by whom, from where, after what wait",
    };
    const STACK_OF: Option<&'static str> = Some("the call that accepts");
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        net::plan_accepts(plan);
        flags.ends.plan(plan)?;
        Ok(Shape::Snoop(Box::new(flags)))
    }
}

impl Snoop for Tcpaccept {
    fn columns(&self) -> Vec<Column> {
        let own = vec![
            Column::number("fd", 5, "the new descriptor").hidden(),
            Column::number("queued_us", 9, "wait in the listener's queue, if it was seen from its start")
                .unit("us"),
        ];
        [net::caller_columns(), net::ends_columns(), own].concat()
    }

    fn limit(&self) -> Option<u64> {
        self.count.count
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        let own = vec![Value::Int(event.fd.into()), net::nonzero(event.queued_ns / 1000, event.queued_ns)];
        let values = [net::caller_values(&event.header), net::ends_values(&event.addresses), own].concat();
        rows.push(event.header.ns, &values);
    }
}
