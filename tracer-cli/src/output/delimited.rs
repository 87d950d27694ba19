//! CSV (RFC 4180, but lines end in LF) and TSV, over escaped text: no value holds a tab or the end
//! of a line.

use super::{
    Key, errno, escape,
    histogram::{Bucket, Histogram},
    layout::Layout,
    number,
    schema::Value,
    time::TimeWriter,
};

/// A way of separating fields.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    separator: u8,
    /// Whether fields are quoted where they have to be.
    quotes: bool,
}

pub(super) const CSV: Dialect = Dialect { separator: b',', quotes: true };

pub(super) const TSV: Dialect = Dialect { separator: b'\t', quotes: false };

impl Dialect {
    pub(super) fn header(self, out: &mut Vec<u8>, layout: &Layout) {
        self.names(out, layout.columns().iter().map(|column| column.name));
    }

    pub(super) fn row(
        self,
        out: &mut Vec<u8>,
        layout: &Layout,
        time: &mut TimeWriter,
        time_ns: u64,
        values: &[Value<'_>],
    ) {
        time.write(out, time_ns);
        for (_, value) in layout.cells(values) {
            self.field(out, *value);
        }
        out.push(b'\n');
    }

    pub(super) fn histogram_header(self, out: &mut Vec<u8>, keys: &[Key<'_>]) {
        let keys = keys.iter().map(|(name, _)| *name);
        self.names(out, keys.chain(["unit", "from", "to", "count"]));
    }

    /// A row for each bucket.
    pub(super) fn histogram(
        self,
        out: &mut Vec<u8>,
        time: &mut TimeWriter,
        time_ns: u64,
        keys: &[Key<'_>],
        histogram: &Histogram,
    ) {
        for Bucket { from, to, count } in histogram.buckets() {
            time.write(out, time_ns);
            for (_, value) in keys {
                self.field(out, *value);
            }
            self.field(out, Value::Text(histogram.unit().as_bytes()));
            for number in [from, to, count] {
                self.field(out, Value::Uint(number));
            }
            out.push(b'\n');
        }
    }

    /// Writes the line of names; they are ours, plain as they are.
    fn names<'a>(self, out: &mut Vec<u8>, names: impl Iterator<Item = &'a str>) {
        out.extend_from_slice(b"ts");
        for name in names {
            out.push(self.separator);
            out.extend_from_slice(name.as_bytes());
        }
        out.push(b'\n');
    }

    /// Writes a field that is not the first.
    fn field(self, out: &mut Vec<u8>, value: Value<'_>) {
        out.push(self.separator);
        match value.normal() {
            Value::Null => {}
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Uint(number) => number::uint(out, number),
            Value::Int(number) => number::int(out, number),
            Value::Float(number, decimals) => number::float(out, number, decimals),
            Value::Text(text) => self.text(out, text),
            Value::Errno(errno) => errno::write(out, errno),
            Value::Ip(address) => number::ip(out, address),
            Value::Frames(frames) => self.quoted(out, |out| escape::frames(out, frames)),
        }
    }

    fn text(self, out: &mut Vec<u8>, text: &[u8]) {
        self.quoted(out, |out| escape::text(out, text));
    }

    /// Writes text, in quotes if it needs them.
    fn quoted(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        write(out);
        if self.quotes && needs_quotes(&out[start..]) {
            quote(out, start);
        }
    }
}

/// The empty text is quoted too, which tells it from nothing where a reader looks.
fn needs_quotes(field: &[u8]) -> bool {
    field.is_empty() || field.iter().any(|byte| matches!(byte, b',' | b'"'))
}

/// Quotes what was written since `start`.
fn quote(out: &mut Vec<u8>, start: usize) {
    let mut from = out.len();
    let inner = out[start..].iter().filter(|byte| **byte == b'"').count();
    out.resize(from + inner + 2, b'"');
    // Backwards, each byte moves once and none is overwritten before it did.
    let mut to = out.len() - 1;
    while from > start {
        from -= 1;
        to -= 1;
        out[to] = out[from];
        if out[to] == b'"' {
            to -= 1;
            out[to] = b'"';
        }
    }
    out[start] = b'"';
}
