//! runqslower: threads that wait long for a CPU.

use std::time::Duration;

use tracer_common::{record::until_nul, tools::runqslower::Event};
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Count, Threshold},
        snoop::Snoop,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

/// What is long unless the user says.
const LONG: Duration = Duration::from_millis(10);

#[derive(clap::Args)]
pub struct Runqslower {
    #[command(flatten)]
    threshold: Threshold,
    #[command(flatten)]
    count: Count,
}

impl Tool for Runqslower {
    const ABOUT: About = About {
        name: "runqslower",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "Threads that wait long for a CPU, and who had it",
    };
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_wakeup")], &[Hook::RawTp("sched_wakeup")]]);
        plan.hook(&[&[Hook::TpBtf("sched_wakeup_new")], &[Hook::RawTp("sched_wakeup_new")]]);
        plan.hook(&[&[Hook::TpBtf("sched_switch")], &[Hook::RawTp("sched_switch")]]);
        plan.entries_by_thread("SINCE");
        flags.threshold.plan(plan, "MIN_NS", LONG);
        Ok(Shape::Snoop(Box::new(flags)))
    }
}

impl Snoop for Runqslower {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process that waited"),
            Column::number("tid", 7, "thread that waited"),
            Column::number("uid", 5, "its real user id").hidden(),
            Column::text("comm", 15, "its command name"),
            Column::number("cpu", 3, "CPU that it came to run on"),
            Column::number("latency_us", 10, "time that it waited").unit("us"),
            Column::number("prev_pid", 8, "process that had this CPU till then; 0 if it was idle"),
            Column::number("prev_tid", 8, "its thread").hidden(),
            Column::text("prev_comm", 15, "command name of that thread"),
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
                Value::Uint(event.header.tid.into()),
                Value::Uint(event.header.uid.into()),
                Value::Text(event.header.comm()),
                Value::Uint(event.cpu.into()),
                Value::Uint(event.latency_ns / 1000),
                Value::Uint(event.prev_pid.into()),
                Value::Uint(event.prev_tid.into()),
                Value::Text(until_nul(&event.prev_comm)),
            ],
        );
    }
}
