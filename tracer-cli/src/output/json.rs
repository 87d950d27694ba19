//! JSON, one object a line.

use super::{
    Key, errno, escape,
    histogram::{Bucket, Histogram},
    layout::Layout,
    number,
    schema::Value,
    time::TimeWriter,
};

pub(super) fn row(
    out: &mut Vec<u8>,
    layout: &Layout,
    time: &mut TimeWriter,
    time_ns: u64,
    values: &[Value<'_>],
) {
    open(out, time, time_ns);
    for (column, value) in layout.cells(values) {
        member(out, column.name, *value);
    }
    out.extend_from_slice(b"}\n");
}

pub(super) fn histogram(
    out: &mut Vec<u8>,
    time: &mut TimeWriter,
    time_ns: u64,
    keys: &[Key<'_>],
    histogram: &Histogram,
) {
    open(out, time, time_ns);
    for (name, value) in keys {
        member(out, name, *value);
    }
    member(out, "unit", Value::Text(histogram.unit().as_bytes()));
    member(out, "count", Value::Uint(histogram.count()));
    for (name, value) in histogram.summary() {
        member(out, name, value.map_or(Value::Null, Value::Uint));
    }
    buckets(out, histogram);
    out.extend_from_slice(b"}\n");
}

fn buckets(out: &mut Vec<u8>, histogram: &Histogram) {
    key(out, "buckets");
    out.push(b'[');
    for (index, Bucket { from, to, count }) in histogram.buckets().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"from\":" } else { b",{\"from\":" });
        number::uint(out, from);
        member(out, "to", Value::Uint(to));
        member(out, "count", Value::Uint(count));
        out.push(b'}');
    }
    out.push(b']');
}

/// The start of an object, with its first member.
fn open(out: &mut Vec<u8>, time: &mut TimeWriter, time_ns: u64) {
    out.extend_from_slice(b"{\"ts\":\"");
    time.write(out, time_ns);
    out.push(b'"');
}

/// A member that is not the first.
fn member(out: &mut Vec<u8>, name: &str, value: Value<'_>) {
    key(out, name);
    self::value(out, value);
}

/// The key of a member that is not the first. Keys are names of ours, plain as they are.
fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn value(out: &mut Vec<u8>, value: Value<'_>) {
    match value.normal() {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Uint(number) => number::uint(out, number),
        Value::Int(number) => number::int(out, number),
        Value::Float(number, decimals) => number::float(out, number, decimals),
        Value::Text(text) => quoted(out, |out| escape::json(out, text)),
        Value::Errno(errno) => quoted(out, |out| errno::write(out, errno)),
        Value::Ip(address) => quoted(out, |out| number::ip(out, address)),
        Value::Frames(frames) => {
            out.push(b'[');
            for (index, frame) in frames.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                quoted(out, |out| escape::json(out, frame.as_bytes()));
            }
            out.push(b']');
        }
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}
