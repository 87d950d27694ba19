//! exitsnoop: how processes end, and after how long.

use tracer_common::tools::exitsnoop::Event;
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{Plan, Rows, common::Count, snoop::Snoop},
    output::{Column, Value, signal},
    tool::{About, Domain, Shape, Tool},
};

pub struct Exitsnoop {
    limit: Option<u64>,
}

#[derive(clap::Args)]
pub struct Flags {
    /// Those killed by a signal or ending with another code than 0 only
    #[arg(short = 'x', long, help_heading = "Filters")]
    failed: bool,
    /// Show the end of each thread, not of whole processes
    #[arg(long)]
    threads: bool,
    #[command(flatten)]
    count: Count,
}

impl Tool for Exitsnoop {
    const ABOUT: About = About {
        name: "exitsnoop",
        aliases: &[],
        domain: Domain::Processes,
        summary: "Processes that end: age, exit code or signal",
    };
    const STACK_OF: Option<&'static str> =
        Some("the thread that ends, of the kernel only where its memory is gone by then (before Linux 6.16)");
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_process_exit")], &[Hook::RawTp("sched_process_exit")]]);
        plan.set("FAILED_ONLY", u32::from(flags.failed));
        plan.set("THREADS", u32::from(flags.threads));
        Ok(Shape::Snoop(Box::new(Self { limit: flags.count.count })))
    }
}

impl Snoop for Exitsnoop {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process"),
            Column::number("tid", 7, "thread that ended last, or with --threads the one that ended")
                .unlike_flag()
                .hidden(),
            Column::number("ppid", 7, "parent process"),
            Column::number("uid", 5, "real user id"),
            Column::text("comm", 15, "command name of the process, or with --threads of the thread"),
            Column::number("age_ms", 12, "time since it was started").unit("ms"),
            Column::number("code", 4, "exit code, if it ended by itself"),
            Column::text("signal", 8, "signal that killed it"),
            Column::truth("core", 4, "whether it left a core dump"),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        let Event { header, start_ns, ppid, .. } = event;
        let age_ms = header.ns.saturating_sub(*start_ns) as f64 / 1e6;
        let signal = signal::name(event.signal() as i32);
        rows.push(
            header.ns,
            &[
                Value::Uint(header.pid.into()),
                Value::Uint(header.tid.into()),
                Value::Uint((*ppid).into()),
                Value::Uint(header.uid.into()),
                Value::Text(header.comm()),
                Value::Float(age_ms, 3),
                event.code().map_or(Value::Null, |code| Value::Uint(code.into())),
                if event.signal() == 0 { Value::Null } else { Value::Text(signal.as_bytes()) },
                Value::Bool(event.dumped_core()),
            ],
        );
    }
}
