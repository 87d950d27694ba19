//! The aligned table, for people and awk.
//!
//! Columns are separated by one blank at least, and only the last one holds blanks itself: awk's
//! field numbers are the columns'. A value wider than its column moves the rest. Only in a terminal
//! is anything cut: the last column, where the line would not fit.
//!
//! Stacks stand beneath their row, a line a function, which begins with the side that the function is on: whatever
//! a program calls its functions, such a line is no row.

use std::io::Write as _;

use super::{
    Key, errno,
    escape::{self, Blanks},
    histogram::{Bucket, Histogram},
    layout::Layout,
    number,
    schema::{Align, Column, Kind, Value},
    time::TimeWriter,
};

/// What stands for nothing.
const NOTHING: u8 = b'-';

pub(super) fn header(out: &mut Vec<u8>, layout: &Layout, time: Option<&TimeWriter>) {
    if let Some(time) = time {
        padded(out, time.width(), time.align(), |out| {
            out.extend_from_slice(b"TIME");
        });
        out.push(b' ');
    }
    for column in layout.columns().iter().filter(|column| !column.is_stack()) {
        padded(out, width(column), column.align, |out| {
            out.extend(column.name.bytes().map(|byte| byte.to_ascii_uppercase()));
        });
        out.push(b' ');
    }
    end_line(out);
}

pub(super) fn row(
    out: &mut Vec<u8>,
    layout: &Layout,
    time: Option<&mut TimeWriter>,
    time_ns: u64,
    values: &[Value<'_>],
    fit: Option<usize>,
) {
    let line = out.len();
    if let Some(time) = time {
        let (width, align) = (time.width(), time.align());
        padded(out, width, align, |out| time.write(out, time_ns));
        out.push(b' ');
    }
    let mut left = layout.columns().len() - layout.stacks();
    for (column, value) in layout.cells(values).filter(|(column, _)| !column.is_stack()) {
        left -= 1;
        let blanks = if left == 0 { Blanks::Keep } else { Blanks::Escape };
        let start = out.len();
        padded(out, width(column), column.align, |out| {
            cell(out, *value, blanks);
        });
        if let Some(width) = fit
            && left == 0
            && column.kind == Kind::Text
        {
            cut(out, line, start, width);
        }
        out.push(b' ');
    }
    end_line(out);
    if layout.stacks() > 0 {
        stacks(out, layout, values, fit);
    }
}

/// Writes the stacks of a row, the innermost function first: what the kernel does for a program is further in.
fn stacks(out: &mut Vec<u8>, layout: &Layout, values: &[Value<'_>], fit: Option<usize>) {
    const INDENT: &[u8] = b"    ";
    let side = |column: &Column| column.name.strip_suffix("_stack").unwrap_or(column.name);
    let beneath = layout.columns().iter().filter(|column| column.is_stack());
    let width = beneath.map(|column| side(column).len()).max().unwrap_or(0);
    let cells: Vec<_> = layout.cells(values).filter(|(column, _)| column.is_stack()).collect();
    for (column, value) in cells.into_iter().rev() {
        let Value::Frames(frames) = value else { continue };
        for frame in frames.iter().rev() {
            let line = out.len();
            out.extend_from_slice(INDENT);
            padded(out, width + 1, Align::Left, |out| out.extend_from_slice(side(column).as_bytes()));
            let start = out.len();
            escape::text(out, frame.as_bytes());
            if let Some(width) = fit {
                cut(out, line, start, width);
            }
            out.push(b'\n');
        }
    }
}

/// Cuts a line to a width, within the cell that starts at `cell`; one that starts beyond stays.
fn cut(out: &mut Vec<u8>, line: usize, cell: usize, width: usize) {
    const CUT: &str = "…";
    let room = width.saturating_sub(chars(&out[line..cell]));
    if room == 0 || chars(&out[cell..]) <= room {
        return;
    }
    let mut starts = (cell..out.len()).filter(|&at| is_start(out[at]));
    if let Some(end) = starts.nth(room - 1) {
        out.truncate(end);
        out.extend_from_slice(CUT.as_bytes());
    }
}

/// Ends the line instead of the padding that its last cell was given.
fn end_line(out: &mut Vec<u8>) {
    // No cell ends with a blank or is empty: this stops within the line.
    while out.last() == Some(&b' ') {
        out.pop();
    }
    out.push(b'\n');
}

/// A column is as wide as its heading at least.
fn width(column: &Column) -> usize {
    column.width.max(column.name.len())
}

/// Writes a cell, with blanks on the free side.
fn padded(out: &mut Vec<u8>, width: usize, align: Align, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let missing = width.saturating_sub(chars(&out[start..]));
    if missing == 0 {
        return;
    }
    let end = out.len();
    out.resize(end + missing, b' ');
    if align == Align::Right {
        out.copy_within(start..end, start + missing);
        out[start..start + missing].fill(b' ');
    }
}

/// The number of characters, which is the width of the text in most scripts.
fn chars(text: &[u8]) -> usize {
    // Most is ASCII, which is known eight bytes at a time.
    if text.is_ascii() { text.len() } else { text.iter().filter(|byte| is_start(**byte)).count() }
}

/// Whether a byte is the first of a character.
const fn is_start(byte: u8) -> bool {
    byte & 0b1100_0000 != 0b1000_0000
}

fn cell(out: &mut Vec<u8>, value: Value<'_>, blanks: Blanks) {
    match value.normal() {
        Value::Null | Value::Bool(false) => out.push(NOTHING),
        Value::Bool(true) => out.extend_from_slice(b"yes"),
        Value::Uint(number) => number::uint(out, number),
        Value::Int(number) => number::int(out, number),
        Value::Float(number, decimals) => number::float(out, number, decimals),
        Value::Text(text) => escape::cell(out, text, blanks),
        Value::Errno(errno) => errno::write(out, errno),
        Value::Ip(address) => number::ip(out, address),
        Value::Frames(frames) => escape::frames(out, frames),
    }
}

/// A row in a line, for messages: `pid=1 comm=init`.
pub fn describe(columns: &[Column], values: &[Value<'_>]) -> String {
    let mut out = Vec::new();
    for (column, value) in columns.iter().zip(values) {
        if !matches!(value.normal(), Value::Null) {
            out.extend_from_slice(column.name.as_bytes());
            out.push(b'=');
            cell(&mut out, *value, Blanks::Escape);
            out.push(b' ');
        }
    }
    String::from_utf8_lossy(&out).trim_end().to_owned()
}

/// The line above the histograms of an interval.
pub(super) fn time_line(out: &mut Vec<u8>, time: &mut TimeWriter, time_ns: u64) {
    time.write(out, time_ns);
    out.push(b'\n');
}

/// A histogram as BCC draws it, between its key and its percentiles.
pub(super) fn histogram(out: &mut Vec<u8>, keys: &[Key<'_>], histogram: &Histogram) {
    key_line(out, keys);
    let buckets = from_zero(histogram);
    if !buckets.is_empty() {
        bars(out, histogram.unit(), &buckets);
    }
    summary_line(out, histogram);
}

/// `pid = 1, comm = init`
fn key_line(out: &mut Vec<u8>, keys: &[Key<'_>]) {
    for (index, (name, value)) in keys.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b" = ");
        cell(out, *value, Blanks::Escape);
    }
    if !keys.is_empty() {
        out.push(b'\n');
    }
}

/// The buckets with the empty ones below, so that bars of several histograms start alike.
fn from_zero(histogram: &Histogram) -> Vec<Bucket> {
    let buckets: Vec<_> = histogram.buckets().collect();
    let first = buckets.first().map_or(0, |bucket| bucket.from.max(1).ilog2());
    let empty = (0..first).map(|power| Bucket::new(power, 0));
    empty.chain(buckets).collect()
}

fn bars(out: &mut Vec<u8>, unit: &str, buckets: &[Bucket]) {
    let is_narrow = buckets.iter().all(|bucket| bucket.to <= u64::from(u32::MAX));
    let (digits, stars, indent) = if is_narrow { (10, 40, 5) } else { (20, 20, 15) };
    let heading = 2 * digits + 4 - indent;
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0);
    // Writing to a Vec cannot fail, here and below.
    let _ = writeln!(out, "{:indent$}{unit:heading$} : count     distribution", "");
    for Bucket { from, to, count } in buckets {
        let bar = "*".repeat(share(*count, most, stars));
        let _ = writeln!(out, "{from:>digits$} -> {to:<digits$} : {count:<8} |{bar:<stars$}|");
    }
}

/// As many of `whole` as `count` is of `most`.
fn share(count: u64, most: u64, whole: usize) -> usize {
    let share = u128::from(count) * whole as u128 / u128::from(most.max(1));
    usize::try_from(share).unwrap_or(whole)
}

fn summary_line(out: &mut Vec<u8>, histogram: &Histogram) {
    let _ = write!(out, "count={}", histogram.count());
    for (name, value) in histogram.summary() {
        if let Some(value) = value {
            let _ = write!(out, ", {name}={value}");
        }
    }
    if histogram.max().is_some() {
        let _ = write!(out, " {}", histogram.unit());
    }
    out.push(b'\n');
}
