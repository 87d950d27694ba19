//! Which columns a recording has. Its lines tell their names; what else there is to know of them, the
//! tools do.

use std::{cell::RefCell, collections::HashMap, net::IpAddr, rc::Rc};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::reader::{Member, Members, Recorded};
use crate::{
    engine::{
        dist,
        sort::{Cell, Kept},
    },
    output::{Column, Histogram, Kind, Value, errno, escape},
};

/// More columns than any tool has, and fewer than a file could make up.
const MAX_COLUMNS: usize = 64;
const MAX_NAME: usize = 64;

/// What a histogram is of, and the unit of its values.
#[derive(Debug)]
struct Labels {
    names: Vec<(&'static str, Kind)>,
    unit: &'static str,
}

/// The columns of a recording's rows; none, if it is of histograms.
#[derive(Debug, Default)]
pub struct Schema {
    pub columns: Vec<Column>,
    places: HashMap<&'static str, usize>,
    /// What the first histogram is of, and the unit of its values.
    histograms: Option<Labels>,
    /// The time of the first row.
    pub start_ns: u64,
    /// Names that histograms have.
    names: RefCell<Vec<&'static str>>,
}

impl Schema {
    /// The columns of a recording that begins with these lines.
    ///
    /// # Errors
    /// If they are no rows.
    pub fn of<'a>(
        lines: impl Iterator<Item = &'a (usize, String)>,
        tools: impl Iterator<Item = Vec<Column>>,
    ) -> anyhow::Result<Self> {
        let mut schema = Self::default();
        let mut names: Vec<(String, Option<Kind>)> = Vec::new();
        for (index, (number, line)) in lines.enumerate() {
            // A line that is none is told when it is its turn.
            let Ok(Members(members)) = serde_json::from_str(line) else { break };
            if index == 0 {
                schema.start_ns = time_of(&members).with_context(|| format!("line {number}"))?;
                schema.histograms = schema.labels(&members).with_context(|| format!("line {number}"))?;
            }
            for (name, value) in members.iter().filter(|(name, _)| name != "ts") {
                let kind = kind_of(value);
                match names.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => *known = known.or(kind),
                    None => names.push((name.to_string(), kind)),
                }
            }
            ensure!(names.len() <= MAX_COLUMNS, "line {number} has more members than a row has");
        }
        if schema.histograms.is_some() {
            return Ok(schema);
        }
        let tools: Vec<Vec<Column>> = tools.collect();
        let has_all =
            |columns: &&Vec<Column>| names.iter().all(|(name, _)| columns.iter().any(|own| own.name == name));
        let tool = tools.iter().find(has_all);
        for (name, kind) in names {
            let known = tool.into_iter().chain(&tools).flatten().find(|column| column.name == name);
            let column = known.cloned().map_or_else(|| guess(&name, kind), Ok)?;
            schema.places.insert(column.name, schema.columns.len());
            schema.columns.push(column);
        }
        Ok(schema)
    }

    pub const fn is_histograms(&self) -> bool {
        self.histograms.is_some()
    }

    /// What conditions are about.
    pub fn judged(&self) -> Vec<Column> {
        self.histograms.as_ref().map_or_else(
            || self.columns.clone(),
            |labels| dist::columns(labels.names.iter().copied(), labels.unit),
        )
    }

    /// What a histogram is of, with its unit; none, if this is a row.
    fn labels(&self, members: &[Member<'_>]) -> anyhow::Result<Option<Labels>> {
        if !members.iter().any(|(name, _)| name == "buckets") {
            return Ok(None);
        }
        let label = |(name, value): &Member<'_>| Ok((self.name(name)?, kind_of(value).unwrap_or(Kind::Text)));
        let names = label_members(members).map(label).collect::<anyhow::Result<_>>()?;
        let unit: String = serde_json::from_str(member(members, "unit")?)?;
        Ok(Some(Labels { names, unit: self.name(&unit)? }))
    }

    /// Reads a line.
    ///
    /// # Errors
    /// If it is none of this recording's.
    pub fn read(&self, line: &str) -> anyhow::Result<Recorded> {
        let Members(members) = serde_json::from_str(line).context("this is no row of tracer's JSON")?;
        let ns = time_of(&members)?;
        if let Some(labels) = &self.histograms {
            let is_known =
                label_members(&members).map(|(name, _)| name).eq(labels.names.iter().map(|(name, _)| name));
            ensure!(
                is_known,
                "this histogram has other keys than the first one: is this a recording of several tools?"
            );
            return histogram(self, ns, &members);
        }
        let mut cells: Vec<Cell> = self.columns.iter().map(|_| Cell::Plain(Value::Null)).collect();
        for (name, value) in members.iter().filter(|(name, _)| name != "ts") {
            let Some(&place) = self.places.get(name.as_ref()) else {
                bail!("the lines before have no {name:?}: is this a recording of several tools?");
            };
            cells[place] = cell(self.columns[place].kind, value);
        }
        Ok(Recorded::Row(Kept::of(ns, cells)))
    }

    /// A name that lasts as long as the process.
    fn name(&self, name: &str) -> anyhow::Result<&'static str> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.iter().find(|known| **known == name) {
            return Ok(known);
        }
        ensure!(names.len() < MAX_COLUMNS, "histograms have not as many names");
        names.push(lasting(name)?);
        Ok(names[names.len() - 1])
    }
}

/// When a line's event was, since 1970.
fn time_of(members: &[Member<'_>]) -> anyhow::Result<u64> {
    let ts = members.iter().find(|(name, _)| name == "ts").context("there is no ts")?.1;
    let text: String = serde_json::from_str(ts.get()).context("ts")?;
    let time: Timestamp = text.parse().context("ts")?;
    u64::try_from(time.as_nanosecond()).context("ts is before 1970")
}

fn kind_of(value: &RawValue) -> Option<Kind> {
    match value.get().as_bytes().first()? {
        b'n' => None,
        b't' | b'f' => Some(Kind::Truth),
        b'"' => Some(Kind::Text),
        b'[' => Some(Kind::Stack),
        _ => Some(Kind::Number),
    }
}

/// A column that no tool has by default: its values tell its kind, and its name the unit.
fn guess(name: &str, kind: Option<Kind>) -> anyhow::Result<Column> {
    /// Ends of names, and the units they stand for.
    const UNITS: [(&str, &str); 5] =
        [("_ns", "ns"), ("_us", "us"), ("_ms", "ms"), ("_s", "s"), ("bytes", "bytes")];
    let name = lasting(name)?;
    let about = "as recorded";
    Ok(match kind {
        Some(Kind::Number) => {
            let column = Column::number(name, 10, about);
            match UNITS.iter().find(|(end, _)| name.ends_with(end) && *name != **end || name == "bytes") {
                Some((_, unit)) if !name.ends_with("per_s") => column.unit(unit),
                _ => column,
            }
        }
        Some(Kind::Truth) => Column::truth(name, 5, about),
        Some(Kind::Stack) => Column::stack(name, 30, about),
        _ => Column::text(name, 15, about),
    })
}

/// Makes a name last as long as the process; there are few of them.
fn lasting(name: &str) -> anyhow::Result<&'static str> {
    ensure!(name.len() <= MAX_NAME, "the name of a column is too long");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    ensure!(name.chars().all(is_plain), "{name:?} is no name of a column");
    Ok(name.to_owned().leak())
}

fn cell(kind: Kind, value: &RawValue) -> Cell {
    let raw = value.get();
    match (kind_of(value), kind) {
        (None, _) => Cell::Plain(Value::Null),
        (Some(Kind::Truth), _) => Cell::Plain(Value::Bool(raw == "true")),
        (Some(Kind::Number), _) => Cell::Plain(number(raw)),
        (Some(Kind::Text), kind) => {
            let text: String = serde_json::from_str(raw).unwrap_or_default();
            let plain = match kind {
                Kind::Error => errno::parse(&text).map(Value::Errno),
                Kind::Address => text.parse::<IpAddr>().ok().map(Value::Ip),
                _ => None,
            };
            plain.map_or_else(|| Cell::Text(escape::from_json(&text)), Cell::Plain)
        }
        _ => match serde_json::from_str::<Vec<String>>(raw) {
            Ok(frames) => Cell::Frames(frames.into_iter().map(frame).collect()),
            Err(_) => Cell::Text(raw.as_bytes().to_vec()),
        },
    }
}

/// The name of a function, which is UTF-8.
fn frame(name: String) -> Rc<str> {
    String::from_utf8(escape::from_json(&name)).unwrap_or(name).into()
}

/// A number with as many decimals as it was written with.
fn number(raw: &str) -> Value<'static> {
    if let Ok(number) = raw.parse::<u64>() {
        return Value::Uint(number);
    }
    if let Ok(number) = raw.parse::<i64>() {
        return Value::Int(number);
    }
    let decimals = raw.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    raw.parse().map_or(Value::Null, |number| Value::Float(number, u8::try_from(decimals).unwrap_or(u8::MAX)))
}

/// A member as it is written.
fn member<'a>(members: &'a [Member<'_>], wanted: &str) -> anyhow::Result<&'a str> {
    let member = members.iter().find(|(name, _)| name == wanted).context("no histogram")?;
    Ok(member.1.get())
}

/// What stands before the unit of a histogram.
fn label_members<'a, 'b>(members: &'a [Member<'b>]) -> impl Iterator<Item = &'a Member<'b>> {
    members.iter().filter(|(name, _)| name != "ts").take_while(|(name, _)| name != "unit")
}

/// A line's histogram: what stands before its unit is what it is of.
fn histogram(schema: &Schema, ns: u64, members: &[Member<'_>]) -> anyhow::Result<Recorded> {
    #[derive(serde::Deserialize)]
    struct Bucket {
        from: u64,
        count: u64,
    }
    let unit: String = serde_json::from_str(member(members, "unit")?)?;
    let buckets: Vec<Bucket> = serde_json::from_str(member(members, "buckets")?)?;
    let summary = ["p50", "p90", "p99", "max"]
        .map(|name| serde_json::from_str(member(members, name)?).context("no number"));
    let [p50, p90, p99, max] = summary;
    let mut histogram = Histogram::told(schema.name(&unit)?, [p50?, p90?, p99?, max?]);
    for Bucket { from, count } in buckets {
        histogram.add(tracer_common::histogram::slot(from), count);
    }
    let keys = label_members(members).map(|(name, value)| Ok((schema.name(name)?, cell(Kind::Text, value))));
    Ok(Recorded::Histogram { ns, keys: keys.collect::<anyhow::Result<_>>()?, histogram })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schema(lines: &[&str]) -> anyhow::Result<Schema> {
        let lines: Vec<_> = lines.iter().map(|line| (1, (*line).to_owned())).collect();
        let tool = vec![
            Column::number("pid", 7, ""),
            Column::error("error", 8, ""),
            Column::address("daddr", 15, ""),
        ];
        Schema::of(lines.iter(), [tool].into_iter())
    }

    const TS: &str = r#""ts":"2026-01-02T15:04:05.123456Z""#;

    #[test]
    fn values_are_what_they_were() {
        let line = format!(
            r#"{{{TS},"pid":7,"error":"ENOENT","daddr":"::1","x_us":1.50,"neg":-3,"s":["a","b"],"t":true,"n":null,"c":"é\n"}}"#
        );
        let schema = schema(&[&line]).unwrap();
        let kinds: Vec<Kind> = schema.columns.iter().map(|column| column.kind).collect();
        use Kind::{Address, Error, Number, Stack, Text, Truth};
        assert_eq!(kinds, [Number, Error, Address, Number, Number, Stack, Truth, Text, Text]);
        assert_eq!(schema.columns[3].unit, Some("us"));
        let Recorded::Row(row) = schema.read(&line).unwrap() else { panic!("no row") };
        assert_eq!(row.ns, 1_767_366_245_123_456_000);
        let expected = r#"[Uint(7), Errno(2), Ip(::1), Float(1.5, 2), Int(-3), Frames(["a", "b"]), Bool(true), Null, Text([195, 169, 10])]"#;
        assert_eq!(format!("{:?}", row.values()), expected);
    }

    #[test]
    fn what_is_no_recording_says_why() {
        let row = format!(r#"{{{TS},"pid":7}}"#);
        let schema = schema(&[&row]).unwrap();
        let error = |line: &str| format!("{:#}", schema.read(line).map(|_| ()).unwrap_err());
        assert!(error("PID COMM").contains("no row"));
        assert!(error(r#"{"pid":7}"#).contains("no ts"));
        assert!(error(r#"{"ts":"noon"}"#).contains("ts"));
        assert!(error(&format!(r#"{{{TS},"comm":"x"}}"#)).contains("several tools"));
        assert!(error(&row[..row.len() - 2]).contains("no row"), "cut short");
        assert!(super::tests::schema(&[r#"{"pid":1}"#]).is_err());
        assert!(super::tests::schema(&[&format!(r#"{{{TS},"a\u001b[31m":1}}"#)]).is_err());
        let many: Vec<String> = (0..65).map(|number| format!(r#""c{number}":1"#)).collect();
        assert!(super::tests::schema(&[&format!("{{{TS},{}}}", many.join(","))]).is_err());
    }

    #[test]
    fn histograms_keep_what_was_told() {
        let line = format!(
            r#"{{{TS},"disk":"sda","unit":"us","count":3,"p50":5,"p90":13,"p99":13,"max":13,"buckets":[{{"from":4,"to":7,"count":2}},{{"from":8,"to":15,"count":1}}]}}"#
        );
        let schema = schema(&[&line]).unwrap();
        assert!(schema.columns.is_empty());
        let Recorded::Histogram { keys, histogram, .. } = schema.read(&line).unwrap() else {
            panic!("a row")
        };
        assert_eq!((keys.len(), keys[0].0, histogram.count(), histogram.max()), (1, "disk", 3, Some(13)));
        assert_eq!(histogram.buckets().count(), 2);
        assert!(schema.read(&format!(r#"{{{TS},"pid":1}}"#)).is_err());
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in ".{0,80}", name in "[a-z_]{1,9}", value in ".{0,20}") {
            let row = format!(r#"{{{TS},"{name}":{value}}}"#);
            for line in [&line, &row] {
                if let Ok(schema) = schema(&[line]) {
                    let _ = schema.read(line);
                }
            }
        }
    }
}
