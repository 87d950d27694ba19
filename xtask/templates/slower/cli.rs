//! @name@: what takes long between fork and exec.

use std::time::Duration;

use tracer_common::tools::@name@::Event;
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Count, duration},
        snoop::Snoop,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct @Name@ {
    /// Show what takes at least this long
    #[arg(value_name = "MIN", value_parser = duration)]
    min: Option<Duration>,
    #[command(flatten)]
    count: Count,
}

impl Tool for @Name@ {
    const ABOUT: About = About {
        name: "@name@",
        aliases: &[],
        domain: Domain::Processes,
        summary: "Programs executed long after their process was forked",
    };
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("task_newtask")], &[Hook::RawTp("task_newtask")]]);
        plan.hook(&[&[Hook::TpBtf("sched_process_exec")], &[Hook::RawTp("sched_process_exec")]]);
        let min = flags.min.unwrap_or_default();
        plan.set("MIN_NS", u64::try_from(min.as_nanos()).unwrap_or(u64::MAX));
        Ok(Shape::Snoop(Box::new(flags)))
    }
}

impl Snoop for @Name@ {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process"),
            Column::text("comm", 15, "command name"),
            Column::number("latency_us", 10, "how long it took").unit("us"),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.count.count
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        rows.push(
            event.header.ns,
            &[
                Value::Uint(event.header.pid.into()),
                Value::Text(event.header.comm()),
                Value::Uint(event.latency_ns / 1000),
            ],
        );
    }
}
