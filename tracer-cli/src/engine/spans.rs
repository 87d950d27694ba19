//! Spans of time that CPUs spend in something, counted by what it is: a table of their number and
//! total with percentiles, or histograms.

use tracer_common::{dist::Key, spans::ALL_CPUS};

use super::{
    common::{Interval, MaxRows},
    dist::{Dist, Label},
    interval::{Delta, Rhythm},
    latencies::Latencies,
    plan::Plan,
    rows::Rows,
    top::Top,
};
use crate::{
    bpf::hook::Point,
    output::{Column, Value},
    tool::Shape,
};

/// The flags of tools with such spans.
#[derive(clap::Args, Clone, Copy)]
pub struct SpanFlags {
    /// Show histograms, not totals
    #[arg(short = 'D', long)]
    dist: bool,
    /// With --dist: in nanoseconds, not microseconds
    #[arg(short = 'N', long, requires = "dist")]
    nanoseconds: bool,
    /// Count only, and measure no time
    #[arg(short = 'C', long, conflicts_with = "dist")]
    count_only: bool,
    /// One CPU only
    #[arg(long, value_name = "N", help_heading = "Filters")]
    cpu: Option<u32>,
    #[command(flatten)]
    rows: MaxRows,
    #[command(flatten)]
    interval: Interval,
}

/// What a tool's spans are of.
pub struct Kind {
    pub begin: Point,
    pub end: Point,
    /// The map of counters, and the columns that name a key.
    pub map: &'static str,
    pub columns: Vec<Column>,
    /// The values of those columns.
    pub names: fn(&[u8]) -> Option<Vec<Label>>,
    /// The key of its histogram.
    pub histogram: fn(&[u8]) -> Option<Key>,
    /// The fields that name a histogram.
    pub labels: fn(&Key) -> Vec<(&'static str, Label)>,
}

struct Spans {
    kind: Kind,
    flags: SpanFlags,
    latencies: Latencies,
}

impl SpanFlags {
    /// Plans a run, and gives what prints it.
    pub fn prepare(self, kind: Kind, plan: &mut Plan) -> Shape {
        plan.hook(kind.begin);
        if !self.count_only {
            plan.hook(kind.end);
        }
        plan.set("BY_INTERRUPTED", u32::from(plan.filters));
        plan.set("COUNT_ONLY", u32::from(self.count_only));
        plan.set("ONE_CPU", self.cpu.unwrap_or(ALL_CPUS));
        plan.set("DIST_ONLY", u32::from(self.dist));
        // The table shows fractions of a microsecond.
        let in_us = self.dist && !self.nanoseconds;
        let latencies = match self.count_only {
            true => Latencies::default(),
            false => Latencies::plan(plan, if in_us { 1000 } else { 1 }),
        };
        let spans = Box::new(Spans { kind, flags: self, latencies });
        if self.dist { Shape::Dist(spans) } else { Shape::Top(spans) }
    }

    fn rhythm(self) -> Rhythm {
        Rhythm { every: self.interval.interval, limit: self.interval.limit() }
    }
}

impl Dist for Spans {
    fn unit(&self) -> &'static str {
        if self.flags.nanoseconds { "ns" } else { "us" }
    }

    fn rhythm(&self) -> Rhythm {
        self.flags.rhythm()
    }

    fn labels(&mut self, key: &Key) -> Vec<(&'static str, Label)> {
        (self.kind.labels)(key)
    }
}

impl Top for Spans {
    fn columns(&self) -> Vec<Column> {
        let mut columns = self.kind.columns.clone();
        columns.push(Column::number("count", 9, "how often"));
        if !self.flags.count_only {
            columns.push(Column::number("total_us", 12, "time spent, all together").unit("us"));
            columns.push(Column::number("avg_us", 12, "time spent, on average").unit("us"));
            columns.extend(Latencies::columns(9));
        }
        columns
    }

    fn map(&self) -> &'static str {
        self.kind.map
    }

    fn rhythm(&self) -> Rhythm {
        self.flags.rhythm()
    }

    fn max_rows(&self) -> MaxRows {
        self.flags.rows
    }

    /// What took the most time first, or what was most often.
    fn interval(&mut self, ns: u64, mut deltas: Vec<Delta>, max: usize, rows: &mut Rows<'_>) {
        self.latencies.read();
        let order =
            |delta: &Delta| std::cmp::Reverse(delta.counters.iter().rev().copied().collect::<Vec<_>>());
        deltas.sort_by_cached_key(|delta| (order(delta), delta.key.clone()));
        deltas.iter().take(max).for_each(|delta| self.row(ns, delta, rows));
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let [count, total_ns] = delta.counters[..] else { return };
        let Some(names) = (self.kind.names)(&delta.key) else { return };
        let Some(key) = (self.kind.histogram)(&delta.key) else { return };
        let mut values: Vec<Value<'_>> = names.iter().map(Label::value).collect();
        values.push(Value::Uint(count));
        if !self.flags.count_only {
            let us = |ns: f64| Value::Float(ns / 1e3, 3);
            values.extend([us(total_ns as f64), us(total_ns as f64 / count as f64)]);
            let marks = self.latencies.marks(key.id, key.name);
            values.extend(marks.map(|ns| ns.map_or(Value::Null, |ns| us(ns as f64))));
        }
        rows.push(ns, &values);
    }
}
