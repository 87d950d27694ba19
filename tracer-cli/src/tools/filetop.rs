//! filetop: reads and writes by process and file, or by directory.

use std::cmp::Reverse;

use tracer_common::{file_io::Names, record::until_nul, tools::filetop::Key};
use zerocopy::FromBytes;

use crate::{
    engine::{
        Plan, Rows,
        common::{Interval, MaxRows},
        file_io::{EveryType, FileSystems, trace_calls},
        interval::{Delta, Rhythm},
        top::Top,
    },
    output::{Column, Value},
    system::names,
    tool::{About, Domain, Shape, Tool},
};

/// Files of processes that there is room for at a time; idle ones make room for new ones.
const FILES: u32 = 10240;

pub struct Filetop {
    by_directory: bool,
    rows: MaxRows,
    rhythm: Rhythm,
    path: Vec<u8>,
}

#[derive(clap::Args)]
pub struct Flags {
    /// Count by directory, not by process and file
    #[arg(long)]
    dir: bool,
    #[command(flatten)]
    every_type: EveryType,
    #[command(flatten)]
    file_systems: FileSystems,
    #[command(flatten)]
    rows: MaxRows,
    #[command(flatten)]
    interval: Interval,
}

impl Tool for Filetop {
    const ABOUT: About = About {
        name: "filetop",
        aliases: &["dirtop"],
        domain: Domain::Files,
        summary: "Reads and writes by process and file, or by directory",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        let by_directory = flags.dir || plan.called == "dirtop";
        trace_calls(plan, |name| matches!(name, "read" | "write" | "copy" | "sendfile" | "splice"));
        flags.every_type.plan(plan);
        flags.file_systems.plan(plan, Self::ABOUT.name)?;
        plan.set("BY_DIRECTORY", u32::from(by_directory));
        plan.entries("FILES", FILES);
        let rhythm = Rhythm { every: flags.interval.interval, limit: flags.interval.limit() };
        Ok(Shape::Top(Box::new(Self { by_directory, rows: flags.rows, rhythm, path: Vec::new() })))
    }
}

impl Top for Filetop {
    fn columns(&self) -> Vec<Column> {
        let mut columns = Vec::new();
        if !self.by_directory {
            columns.extend([Column::number("pid", 7, "process"), Column::text("comm", 15, "command name")]);
        }
        columns.extend([
            Column::number("reads", 8, "calls that read"),
            Column::number("writes", 8, "calls that wrote"),
            Column::number("read_bytes", 12, "bytes read").unit("bytes"),
            Column::number("write_bytes", 12, "bytes written").unit("bytes"),
        ]);
        columns.extend(match self.by_directory {
            true => vec![Column::text("directory", 0, "the directory's path")],
            false => {
                vec![Column::text("type", 6, "type of the file"), Column::text("file", 0, "the file's path")]
            }
        });
        columns
    }

    fn map(&self) -> &'static str {
        "FILES"
    }

    fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn max_rows(&self) -> MaxRows {
        self.rows
    }

    fn has_notes(&self) -> bool {
        true
    }

    /// The most bytes first.
    fn interval(&mut self, ns: u64, mut deltas: Vec<Delta>, max: usize, rows: &mut Rows<'_>) {
        deltas.sort_by_cached_key(|delta| {
            let sum = |range| delta.counters.get(range).map_or(0, |counters: &[u64]| counters.iter().sum());
            let (calls, bytes): (u64, u64) = (sum(0..2), sum(2..4));
            (Reverse((bytes, calls)), delta.key.clone())
        });
        deltas.iter().take(max).for_each(|delta| self.row(ns, delta, rows));
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let Ok(key) = Key::ref_from_bytes(&delta.key) else { return };
        let mut kind = Value::Null;
        self.path.clear();
        if let Ok((of, text)) = Names::ref_from_prefix(&delta.note) {
            names::write_file(&mut self.path, of, text);
            kind = Value::Text(names::file_type(of.mode).as_bytes());
        }
        let mut values = Vec::with_capacity(8);
        if !self.by_directory {
            values.extend([Value::Uint(key.pid.into()), Value::Text(until_nul(&key.comm))]);
        }
        values.extend(delta.counters.iter().map(|&count| Value::Uint(count)));
        if !self.by_directory {
            values.push(kind);
        }
        values.push(if self.path.is_empty() { Value::Null } else { Value::Text(&self.path) });
        rows.push(ns, &values);
    }
}
