//! tcpconnlat: how long it takes to connect.

use std::time::Duration;

use tracer_common::tools::tcpconnlat::Event;
use zerocopy::FromBytes;

use crate::{
    engine::{
        Plan, Rows,
        common::{Count, Failed, Threshold},
        net::{self, Ends},
        snoop::Snoop,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct Tcpconnlat {
    #[command(flatten)]
    failed: Failed,
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    threshold: Threshold,
    #[command(flatten)]
    count: Count,
}

impl Tool for Tcpconnlat {
    const ABOUT: About = About {
        name: "tcpconnlat",
        aliases: &[],
        domain: Domain::Network,
        summary: "TCP connection attempts: how long until they were established or failed",
    };
    const STACK_OF: Option<&'static str> = Some("the call that connects");
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(net::STATES);
        plan.hook(net::CONNECT);
        plan.set("FAILED_ONLY", u32::from(flags.failed.failed));
        flags.threshold.plan(plan, "MIN_NS", Duration::ZERO);
        flags.ends.plan(plan)?;
        Ok(Shape::Snoop(Box::new(flags)))
    }
}

impl Snoop for Tcpconnlat {
    fn columns(&self) -> Vec<Column> {
        let own = vec![
            Column::number("latency_us", 10, "from the first SYN to the result").unit("us"),
            Column::number("errno", 5, "error number, 0 for success").hidden(),
            Column::error(
                "error",
                0,
                "error name; ECANCELED if the program closed the socket before an answer",
            ),
        ];
        [net::caller_columns(), net::ends_columns(), own].concat()
    }

    fn limit(&self) -> Option<u64> {
        self.count.count
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        let own = vec![
            Value::Uint(event.latency_ns / 1000),
            Value::Int(event.errno.into()),
            Value::Errno(event.errno),
        ];
        let values = [net::caller_values(&event.header), net::ends_values(&event.addresses), own].concat();
        rows.push(event.header.ns, &values);
    }
}
