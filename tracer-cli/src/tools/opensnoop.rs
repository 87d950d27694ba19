//! opensnoop: who opens which files.

use tracer_common::tools::opensnoop::Event;
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Count, Failed},
        snoop::Snoop,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

pub struct Opensnoop {
    limit: Option<u64>,
}

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    failed: Failed,
    #[command(flatten)]
    count: Count,
}

impl Tool for Opensnoop {
    const ABOUT: About = About {
        name: "opensnoop",
        aliases: &[],
        domain: Domain::Files,
        summary: "Files opened: by whom, how, and with what result",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sys_exit")]]);
        plan.set("FAILED_ONLY", u32::from(flags.failed.failed));
        Ok(Shape::Snoop(Box::new(Self { limit: flags.count.count })))
    }
}

impl Snoop for Opensnoop {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process"),
            Column::text("comm", 16, "command name"),
            Column::number("fd", 4, "the new descriptor"),
            Column::text("path", 0, "path"),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, path)) = Event::ref_from_prefix(record) else { return };
        let end = path.iter().position(|&b| b == 0).unwrap_or(path.len());
        let comm = event.header.comm;
        let cend = comm.iter().position(|&b| b == 0).unwrap_or(comm.len());
        rows.push(
            event.header.ns,
            &[
                Value::Uint(event.header.pid.into()),
                Value::Text(&comm[..cend]),
                Value::Int(event.ret.into()),
                Value::Text(&path[..end]),
            ],
        );
    }
}
