//! @name@: programs executed.

use tracer_common::tools::@name@::Event;
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{Plan, Rows, common::Count, snoop::Snoop},
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct @Name@ {
    #[command(flatten)]
    count: Count,
}

impl Tool for @Name@ {
    const ABOUT: About = About {
        name: "@name@",
        aliases: &[],
        domain: Domain::Processes,
        summary: "Programs executed",
    };
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_process_exec")], &[Hook::RawTp("sched_process_exec")]]);
        Ok(Shape::Snoop(Box::new(flags)))
    }
}

impl Snoop for @Name@ {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process"),
            Column::number("ppid", 7, "parent process"),
            Column::text("comm", 0, "command name"),
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
                Value::Uint(event.ppid.into()),
                Value::Text(event.header.comm()),
            ],
        );
    }
}
