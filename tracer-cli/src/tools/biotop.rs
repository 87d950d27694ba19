//! biotop: which processes do most I/O to which disks.

use std::{cell::OnceCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use tracer_common::{
    record::until_nul,
    tools::biotop::{Counts, Key},
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    bpf::map::Map,
    engine::{
        Plan, Rows,
        block::{self, OneDisk},
        common::{Interval, MaxRows},
        dist,
        interval::{Delta, Deltas, Rhythm},
        top::Top,
    },
    output::{Column, Histogram, Value},
    tool::{About, Domain, Shape, Tool},
};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

pub struct Biotop {
    rows: MaxRows,
    rhythm: Rhythm,
    /// The map of latencies, known once the maps are there.
    map: Rc<OnceCell<Arc<Map>>>,
    deltas: Deltas,
    /// This interval's, by process and disk.
    latencies: HashMap<(u64, [u8; 16]), Histogram>,
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
        dist::plan(plan, true, 1_000);
        let map = Rc::<OnceCell<Arc<Map>>>::default();
        let tool = Self {
            rows: flags.rows,
            rhythm: Rhythm {
                every: flags.interval.interval.or(Some(DEFAULT_INTERVAL)),
                limit: flags.interval.limit(),
            },
            map: Rc::clone(&map),
            deltas: Deltas::default(),
            latencies: HashMap::new(),
        };
        plan.setup(move |_, object| {
            object.map("HISTS").into_iter().for_each(|latencies| drop(map.set(latencies)));
            Ok(())
        });
        Ok(Shape::Top(Box::new(tool)))
    }
}

impl Top for Biotop {
    fn columns(&self) -> Vec<Column> {
        let us = |name, about| Column::number(name, 8, about).unit("us");
        vec![
            Column::number("pid", 7, "process that submitted them"),
            Column::text("comm", 15, "command name"),
            Column::text("disk", 9, "disk; none for requests to a controller"),
            Column::number("count", 8, "requests that were complete"),
            Column::number("read_bytes", 11, "bytes read").unit("bytes"),
            Column::number("write_bytes", 11, "bytes written").unit("bytes"),
            Column::number("bytes", 11, "both").unit("bytes").hidden(),
            us("avg_us", "latency of a request, on average"),
            us("p50_us", "latency that half of them did not exceed").hidden(),
            us("p90_us", "latency that 90 % of them did not exceed").hidden(),
            us("p99_us", "latency that 99 % of them did not exceed"),
            us("max_us", "the largest latency"),
        ]
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
        let map = self.map.get();
        let latencies = map.and_then(|map| dist::read_keyed(&mut self.deltas, map, "us").ok());
        let latencies = latencies.into_iter().flatten();
        self.latencies = latencies.map(|(key, histogram)| ((key.id, key.name), histogram)).collect();
        let bytes =
            |delta: &Delta| counts(delta).map_or((0, 0), |it| (it.read_bytes + it.write_bytes, it.count));
        deltas.sort_by(|a, b| bytes(b).cmp(&bytes(a)).then_with(|| a.key.cmp(&b.key)));
        deltas.iter().take(max).for_each(|delta| self.row(ns, delta, rows));
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let (Ok(key), Some(counts)) = (Key::read_from_bytes(&delta.key), counts(delta)) else { return };
        let some = |text| if <[u8]>::is_empty(text) { Value::Null } else { Value::Text(text) };
        let latencies = self.latencies.get(&(key.id(), key.comm));
        let percentile =
            |percent| latencies.and_then(|it| it.percentile(percent)).map_or(Value::Null, Value::Uint);
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
                percentile(50),
                percentile(90),
                percentile(99),
                percentile(100),
            ],
        );
    }
}

fn counts(delta: &Delta) -> Option<Counts> {
    Counts::read_from_bytes(delta.counters.as_bytes()).ok()
}
