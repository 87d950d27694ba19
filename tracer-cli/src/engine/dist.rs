//! The dist shape: histograms, one a key.

use std::collections::BTreeMap;

use tracer_common::dist::Key;
use zerocopy::FromBytes;

use super::{
    interval::{self, Delta, Deltas, Rhythm},
    judge::Judge,
    plan::Plan,
    session::{Session, Stop, written},
};
use crate::{
    bpf::map::Map,
    output::{Column, Histogram, Kind, Value},
};

/// Keys times slots that a keyed run has room for: 1.5 MB of kernel memory.
const KEYED_SLOTS: u32 = 16384;

/// What a key's histogram is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    Text(Vec<u8>),
    Number(u64),
}

impl Label {
    /// The label as a value to print.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(text),
            Self::Number(number) => Value::Uint(*number),
        }
    }
}

/// A tool that prints histograms.
pub trait Dist {
    /// The unit of the values, as the kernel side counts them.
    fn unit(&self) -> &'static str;

    fn rhythm(&self) -> Rhythm;

    /// The fields that name a key's histogram; none where there is one histogram.
    fn labels(&mut self, key: &Key) -> Vec<(&'static str, Label)>;
}

/// What conditions can ask of a tool's histograms.
pub fn columns_of(tool: &mut dyn Dist) -> Vec<Column> {
    // Every key has the labels that the first one has.
    let kind = |label| if matches!(label, Label::Number(_)) { Kind::Number } else { Kind::Text };
    let labels = tool.labels(&Key::default()).into_iter().map(|(name, label)| (name, kind(label)));
    columns(labels, tool.unit())
}

/// What a histogram is of, and what is told of its values.
pub fn columns(labels: impl Iterator<Item = (&'static str, Kind)>, unit: &'static str) -> Vec<Column> {
    let label = |(name, kind)| match kind {
        Kind::Number => Column::number(name, 7, "what a histogram is of"),
        _ => Column::text(name, 16, "what a histogram is of"),
    };
    let told = [
        ("p50", "half of the values are not above it"),
        ("p90", "90 % of the values are not above it"),
        ("p99", "99 % of the values are not above it"),
        ("max", "the largest value"),
    ];
    let told = told.map(|(name, about)| Column::number(name, 9, about).unit(unit));
    let columns = labels.map(label).chain([Column::number("count", 9, "how many values")]).chain(told);
    columns.map(|column| column.hidden().unlike_flag()).collect()
}

/// Whether a histogram is to be printed.
pub fn admits(judge: Option<&Judge>, labels: &[(&'static str, Value<'_>)], histogram: &Histogram) -> bool {
    let Some(judge) = judge else { return true };
    let mut values: Vec<Value<'_>> = labels.iter().map(|(_, value)| *value).collect();
    values.push(Value::Uint(histogram.count()));
    values.extend(histogram.summary().map(|(_, value)| value.map_or(Value::Null, Value::Uint)));
    judge.admits(&values)
}

/// The settings of the kernel side's histograms: by key or one of all, and nanoseconds a unit.
pub fn plan(plan: &mut Plan, keyed: bool, ns_per_unit: u64) {
    plan.set("HIST_KEYED", u32::from(keyed));
    plan.set("HIST_UNIT_NS", ns_per_unit);
    plan.entries("HISTS", if keyed { KEYED_SLOTS } else { 1 });
}

/// Runs until the session's end or the last interval.
///
/// # Errors
/// If output can't be written or the command can't be run.
pub async fn run(mut session: Session, mut tool: Box<dyn Dist>) -> anyhow::Result<u8> {
    let (keyed, total) = (session.map("HISTS")?, session.map("HIST")?);
    let mut printer = session.printer(&[])?;
    let (mut keyed_deltas, mut total_deltas) = (Deltas::default(), Deltas::default());
    let rhythm = tool.rhythm();
    let judge = session.judge.clone();
    interval::run(session, rhythm, move |ns| {
        let mut histograms = read_keyed(&mut keyed_deltas, &keyed, tool.unit())?;
        let all = read_total(&mut total_deltas, &total, tool.unit())?;
        if histograms.is_empty() || all.count() > 0 {
            histograms.push((Key::default(), all));
        }
        histograms.sort_by_key(|(_, histogram)| std::cmp::Reverse(histogram.count()));
        printer.interval(ns);
        for (key, histogram) in &histograms {
            let labels = tool.labels(key);
            if histogram.count() == 0 && !labels.is_empty() {
                continue;
            }
            let labels: Vec<_> = labels.iter().map(|(name, label)| (*name, label.value())).collect();
            if admits(judge.as_deref(), &labels, histogram) {
                printer.histogram(ns, &labels, histogram);
            }
        }
        let stop = written(printer.flush())?;
        Ok(if judge.as_ref().is_some_and(|judge| judge.is_broken()) { Some(Stop::Done) } else { stop })
    })
    .await
}

/// What the histograms of all keys have grown by, in the order of their keys.
///
/// # Errors
/// If the kernel refuses.
pub fn read_keyed(
    deltas: &mut Deltas,
    map: &Map,
    unit: &'static str,
) -> std::io::Result<Vec<(Key, Histogram)>> {
    let mut histograms: BTreeMap<(u64, [u8; 16]), Histogram> = BTreeMap::new();
    for Delta { key, counters, .. } in deltas.read(map)? {
        let Ok(key) = Key::read_from_bytes(&key) else { continue };
        histograms
            .entry((key.id, key.name))
            .or_insert_with(|| Histogram::new(unit))
            .add(key.slot, counters[0]);
    }
    Ok(histograms
        .into_iter()
        .map(|((id, name), histogram)| (Key { id, name, ..Key::default() }, histogram))
        .collect())
}

fn read_total(deltas: &mut Deltas, map: &Map, unit: &'static str) -> std::io::Result<Histogram> {
    let mut histogram = Histogram::new(unit);
    for Delta { key, counters, .. } in deltas.read(map)? {
        if let Some(slot) = key.first_chunk::<4>() {
            histogram.add(u32::from_ne_bytes(*slot), counters[0]);
        }
    }
    Ok(histogram)
}
