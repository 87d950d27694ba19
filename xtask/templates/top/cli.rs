//! @name@: which programs are executed most.

use tracer_common::{record::until_nul, tools::@name@::Key};
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Interval, MaxRows},
        interval::{Delta, Rhythm},
        top::Top,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct @Name@ {
    #[command(flatten)]
    interval: Interval,
    #[command(flatten)]
    rows: MaxRows,
}

impl Tool for @Name@ {
    const ABOUT: About = About {
        name: "@name@",
        aliases: &[],
        domain: Domain::Processes,
        summary: "Programs executed, counted by name",
    };
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_process_exec")], &[Hook::RawTp("sched_process_exec")]]);
        Ok(Shape::Top(Box::new(flags)))
    }
}

impl Top for @Name@ {
    fn columns(&self) -> Vec<Column> {
        vec![Column::text("comm", 16, "command name"), Column::number("count", 10, "programs executed")]
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

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let Ok(key) = Key::ref_from_bytes(&delta.key) else { return };
        let count = delta.counters.first().copied().unwrap_or(0);
        rows.push(ns, &[Value::Text(until_nul(&key.comm)), Value::Uint(count)]);
    }
}
