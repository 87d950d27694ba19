//! biotop: which processes do most I/O to which disks.

use std::time::Duration;

use tracer_common::{
    record::until_nul,
    tools::biotop::{Counts, Key},
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    engine::{
        Plan, Rows,
        block::{self, OneDisk},
        common::{Interval, MaxRows},
        interval::{Delta, Rhythm},
        latencies::Latencies,
        top::Top,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

pub struct Biotop {
    rows: MaxRows,
    rhythm: Rhythm,
    /// By process and disk.
    latencies: Latencies,
}

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    disk: OneDisk,
    #[command(flatten)]
    rows: MaxRows,
    #[command(flatten)]
    interval: Interval,
}

impl Tool for Biotop {
    const ABOUT: About = About {
        name: "biotop",
        aliases: &[],
        domain: Domain::Block,
        summary: "Block I/O by process and disk: how much, how fast",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        block::plan(plan, flags.disk, true)?;
        let tool = Self {
            rows: flags.rows,
            rhythm: Rhythm {
                every: flags.interval.interval.or(Some(DEFAULT_INTERVAL)),
                limit: flags.interval.limit(),
            },
            latencies: Latencies::plan(plan, 1_000),
        };
        Ok(Shape::Top(Box::new(tool)))
    }
}

impl Top for Biotop {
    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::number("pid", 7, "process that submitted them"),
            Column::text("comm", 15, "command name"),
            Column::text("disk", 9, "disk; none for requests to a controller"),
            Column::number("count", 8, "requests that were complete"),
            Column::number("read_bytes", 11, "bytes read").unit("bytes"),
            Column::number("write_bytes", 11, "bytes written").unit("bytes"),
            Column::number("bytes", 11, "both").unit("bytes").hidden(),
            Column::number("avg_us", 8, "latency of a request, on average").unit("us"),
        ];
        columns.extend(Latencies::columns(8));
        columns
    }

    fn map(&self) -> &'static str {
        "COUNTS"
    }

    fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn max_rows(&self) -> MaxRows {
        self.rows
    }

    /// The most bytes first.
    fn interval(&mut self, ns: u64, mut deltas: Vec<Delta>, max: usize, rows: &mut Rows<'_>) {
        self.latencies.read();
        let bytes =
            |delta: &Delta| counts(delta).map_or((0, 0), |it| (it.read_bytes + it.write_bytes, it.count));
        deltas.sort_by(|a, b| bytes(b).cmp(&bytes(a)).then_with(|| a.key.cmp(&b.key)));
        deltas.iter().take(max).for_each(|delta| self.row(ns, delta, rows));
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let (Ok(key), Some(counts)) = (Key::read_from_bytes(&delta.key), counts(delta)) else { return };
        let some = |text| if <[u8]>::is_empty(text) { Value::Null } else { Value::Text(text) };
        let marks = self.latencies.marks(key.id(), key.comm);
        let [p50, p90, p99, max] = marks.map(|mark| mark.map_or(Value::Null, Value::Uint));
        let average = (counts.total_ns / 1000).checked_div(counts.count);
        rows.push(
            ns,
            &[
                if key.pid == 0 { Value::Null } else { Value::Uint(key.pid.into()) },
                some(until_nul(&key.comm)),
                some(until_nul(&key.disk)),
                Value::Uint(counts.count),
                Value::Uint(counts.read_bytes),
                Value::Uint(counts.write_bytes),
                Value::Uint(counts.read_bytes + counts.write_bytes),
                average.map_or(Value::Null, Value::Uint),
                p50,
                p90,
                p99,
                max,
            ],
        );
    }
}

fn counts(delta: &Delta) -> Option<Counts> {
    Counts::read_from_bytes(delta.counters.as_bytes()).ok()
}
