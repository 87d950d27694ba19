//! Rows and histograms, from a tool's values to the bytes of a table, JSON, CSV or TSV.
//!
//! A [`Printer`] gathers rows in one buffer and writes them when told to: once for each batch of
//! events. Nothing from the traced system gets through unescaped, whatever the format (see
//! [`escape`]).

mod delimited;
pub mod errno;
pub mod escape;
mod histogram;
mod json;
mod layout;
mod number;
mod options;
mod schema;
pub mod signal;
mod sink;
mod table;
#[cfg(test)]
mod tests;
mod time;

pub use histogram::Histogram;
pub use layout::{Layout, find as find_column};
pub use options::{Format, Options, TimeColumn};
pub use schema::{Column, Kind, Value};
pub use sink::{Sink, WriteError};
pub use table::describe;
pub use time::Clock;

use delimited::{CSV, Dialect, TSV};
use time::TimeWriter;

/// A field of what a histogram is of: its name and value.
pub type Key<'a> = (&'static str, Value<'a>);

/// Prints what a tool sees: rows of columns, or histograms.
pub struct Printer {
    layout: Layout,
    style: Style,
    header_due: bool,
    /// Something was printed since the table's last blank line.
    block_open: bool,
    out: Vec<u8>,
    sink: Sink,
    /// The width of the terminal that a table is to fit.
    fit: Option<usize>,
    is_wide: bool,
}

/// A format, with what writes its times.
enum Style {
    Table(Option<TimeWriter>),
    Json(TimeWriter),
    Delimited(Dialect, TimeWriter),
}

impl Style {
    fn new(options: &Options, clock: Clock) -> Self {
        match options.format {
            Format::Table => Self::Table(TimeWriter::column(options.time, clock)),
            Format::Json => Self::Json(TimeWriter::ts(clock)),
            Format::Csv => Self::Delimited(CSV, TimeWriter::ts(clock)),
            Format::Tsv => Self::Delimited(TSV, TimeWriter::ts(clock)),
        }
    }
}

impl Printer {
    /// A printer of rows of these columns; a tool that prints histograms has none.
    pub fn new(sink: Sink, layout: Layout, options: Options, clock: Clock) -> Self {
        let mut printer = Self {
            layout,
            style: Style::new(&options, clock),
            header_due: options.header,
            block_open: false,
            out: Vec::new(),
            sink,
            fit: None,
            is_wide: options.wide || options.format != Format::Table,
        };
        printer.measure();
        printer
    }

    /// Asks how wide the terminal is, which may change at any time.
    fn measure(&mut self) {
        if !self.is_wide {
            self.fit = self.sink.terminal_width();
        }
    }

    /// Prints the header of rows, unless it was or is not wanted; the first row does it too.
    pub fn header(&mut self) {
        if self.layout.columns().is_empty() || !std::mem::take(&mut self.header_due) {
            return;
        }
        match &self.style {
            Style::Table(time) => table::header(&mut self.out, &self.layout, time.as_ref()),
            Style::Json(_) => {}
            Style::Delimited(dialect, _) => dialect.header(&mut self.out, &self.layout),
        }
    }

    /// Prints a row: a value for each column of the tool, at a time of the kernel's clock.
    pub fn row(&mut self, time_ns: u64, values: &[Value<'_>]) {
        self.header();
        let (out, layout) = (&mut self.out, &self.layout);
        match &mut self.style {
            Style::Table(time) => table::row(out, layout, time.as_mut(), time_ns, values, self.fit),
            Style::Json(time) => json::row(out, layout, time, time_ns, values),
            Style::Delimited(dialect, time) => dialect.row(out, layout, time, time_ns, values),
        }
        self.block_open = true;
    }

    /// Prints the histogram of a key's values, at a time of the kernel's clock; no key fields where
    /// it is of all values, and the same ones in all histograms of a run.
    pub fn histogram(&mut self, time_ns: u64, keys: &[Key<'_>], histogram: &Histogram) {
        self.separate();
        let out = &mut self.out;
        match &mut self.style {
            Style::Table(_) => table::histogram(out, keys, histogram),
            Style::Json(time) => json::histogram(out, time, time_ns, keys, histogram),
            Style::Delimited(dialect, time) => {
                if std::mem::take(&mut self.header_due) {
                    dialect.histogram_header(out, keys);
                }
                dialect.histogram(out, time, time_ns, keys, histogram);
            }
        }
        self.block_open = true;
    }

    /// Prints lines that are made already, and escaped.
    pub fn text(&mut self, lines: &[u8]) {
        self.out.extend_from_slice(lines);
        self.block_open = true;
    }

    /// Sets what comes of the next interval apart from the last one, in a table. Rows bear their
    /// time themselves; histograms have it in a line above them.
    pub fn interval(&mut self, time_ns: u64) {
        self.separate();
        if let Style::Table(Some(time)) = &mut self.style
            && self.layout.columns().is_empty()
        {
            table::time_line(&mut self.out, time, time_ns);
        }
    }

    /// In a table, ends with a blank line what was printed last.
    fn separate(&mut self) {
        if matches!(self.style, Style::Table(_)) && std::mem::take(&mut self.block_open) {
            self.out.push(b'\n');
        }
    }

    /// The bytes that wait to be written.
    #[cfg(test)]
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// Writes what waits. After an error it is dropped, as some of it may have been written.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let result = self.sink.write(&self.out);
        self.out.clear();
        self.measure();
        result
    }

    /// Whether the reader is known to be gone, which a run without events learns in no other way.
    pub fn is_closed(&self) -> bool {
        self.sink.is_closed()
    }
}
