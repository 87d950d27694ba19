//! What of a condition the kernel can decide, so that events that cannot match never leave it.

use super::{Check, Expr, Node, Relation, literal::Number};
use crate::output::Column;

/// What the kernel is told: what every row that matches has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    pub pids: Vec<u32>,
    pub tids: Vec<u32>,
    pub uids: Vec<u32>,
    pub comms: Vec<String>,
    /// The least latency, in nanoseconds.
    pub min_ns: Option<u64>,
}

/// Names of columns that a shape's threshold is about, and their nanoseconds.
const LATENCIES: [(&str, i128); 3] = [("latency_ns", 1), ("latency_us", 1_000), ("latency_ms", 1_000_000)];

impl Pushed {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What each of the kernel's filters was told, for people.
    pub fn parts(&self) -> impl Iterator<Item = String> {
        let list = |name: &str, words: Vec<String>| {
            (!words.is_empty()).then(|| format!("{name} {}", words.join(", ")))
        };
        let ids = |name: &str, ids: &[u32]| list(name, ids.iter().map(u32::to_string).collect());
        let comms = self.comms.iter().map(|comm| format!("{comm:?}")).collect();
        let filters =
            [ids("pid", &self.pids), ids("tid", &self.tids), ids("uid", &self.uids), list("comm", comms)];
        filters.into_iter().flatten()
    }
}

impl Expr {
    /// What the kernel can decide of rows of these columns.
    #[must_use]
    pub fn pushed(&self, columns: &[Column]) -> Pushed {
        let set = |name: &str| {
            let place = columns.iter().position(|column| column.name == name && column.is_flags)?;
            self.node.only(place)
        };
        let ids = |name: &str| {
            let ids = set(name)?.into_iter().map(|check| match check {
                Check::Number(_, Number::Whole(number)) => u32::try_from(*number).ok(),
                _ => None,
            });
            sorted(ids.collect::<Option<Vec<u32>>>()?)
        };
        let comms = || {
            let names = set("comm")?.into_iter().map(|check| match check {
                Check::Text(text) => String::from_utf8(text.clone()).ok().filter(|name| is_plain(name)),
                _ => None,
            });
            sorted(names.collect::<Option<Vec<String>>>()?)
        };
        Pushed {
            pids: ids("pid").unwrap_or_default(),
            tids: ids("tid").unwrap_or_default(),
            uids: ids("uid").unwrap_or_default(),
            comms: comms().unwrap_or_default(),
            min_ns: LATENCIES.iter().find_map(|(name, ns)| {
                let place = columns.iter().position(|column| column.name == *name)?;
                Some(nanoseconds(self.node.least(place)?, *ns))
            }),
        }
    }
}

impl Node {
    /// What a column's value is one of, in each row that matches; none, if it may be anything.
    fn only(&self, column: usize) -> Option<Vec<&Check>> {
        match self {
            Self::Test { place, check: check @ (Check::Number(Relation::Equal, _) | Check::Text(_)) }
                if *place == column =>
            {
                Some(vec![check])
            }
            Self::All(nodes) => nodes.iter().find_map(|node| node.only(column)),
            Self::Any(nodes) => {
                let sets: Option<Vec<_>> = nodes.iter().map(|node| node.only(column)).collect();
                sets.map(|sets| sets.concat())
            }
            Self::Test { .. } | Self::Not(_) => None,
        }
    }

    /// What a column's value is not below, in each row that matches.
    fn least(&self, column: usize) -> Option<Number> {
        let real = |a: &Number, b: &Number| a.real().total_cmp(&b.real());
        match self {
            Self::Test { place, check: Check::Number(relation, number) } if *place == column => {
                matches!(relation, Relation::Equal | Relation::More | Relation::AtLeast).then_some(*number)
            }
            Self::All(nodes) => nodes.iter().filter_map(|node| node.least(column)).max_by(real),
            Self::Any(nodes) => {
                let least: Option<Vec<_>> = nodes.iter().map(|node| node.least(column)).collect();
                least?.into_iter().min_by(real)
            }
            Self::Test { .. } | Self::Not(_) => None,
        }
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Option<Vec<T>> {
    list.sort_unstable();
    list.dedup();
    Some(list)
}

/// Whether the kernel's patterns mean the name itself, and have room for it.
fn is_plain(name: &str) -> bool {
    !name.contains(['*', '?', '\0']) && name.len() < tracer_common::record::COMM_LEN
}

/// A bound in nanoseconds, rather too low than too high.
fn nanoseconds(number: Number, ns: i128) -> u64 {
    let bound = match number {
        Number::Whole(number) => number.saturating_mul(ns),
        Number::Real(number) => (number * ns as f64).floor() as i128 - 1,
    };
    u64::try_from(bound.max(0)).unwrap_or(u64::MAX)
}
