//! `tracer replay`: prints again what a run has recorded as JSON, in any form, with other columns, chosen
//! and sorted anew.

mod reader;
mod schema;

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use anyhow::Context;
use clap::Args;

use crate::{
    cli,
    engine::{
        Rows,
        common::{Count, MaxRows},
        dist,
        judge::Judge,
        session::written,
        sort::{Kept, Order},
        view::View,
    },
    error::Failure,
    list,
    output::{Clock, Printer, Sink},
    tools,
};
use reader::{Lines, Recorded};
use schema::Schema;

/// Its flags: those of every tool that are about rows.
#[derive(Args)]
pub struct Replay {
    /// What a run with --json has written (-: stdin)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    view: View,
    #[command(flatten)]
    rows: MaxRows,
    #[command(flatten)]
    count: Count,
}

/// Nothing but the pipe's end stops a replay.
static STOP: AtomicBool = AtomicBool::new(false);

/// Rows that are printed at a time.
const BATCH: usize = 1024;

impl Replay {
    /// Prints the recording.
    ///
    /// # Errors
    /// If it can't be read or is none, and those of the flags.
    pub fn run(&self) -> anyhow::Result<u8> {
        let name = self.file.display().to_string();
        let mut lines = Lines::open(&self.file).with_context(|| name.clone())?;
        let tools = tools::TOOLS.iter().filter_map(|tool| cli::default_columns(tool).ok());
        let schema = Schema::of(lines.look_ahead(), tools)?;
        let judged = schema.judged();
        if self.view.list_columns {
            return list::print(&self.view.list(&judged));
        }
        if lines.is_empty() {
            // Nobody knows which columns it would have.
            self.view.nothing_is_expected()?;
            return Ok(0);
        }
        if schema.is_histograms() {
            self.check_has_no_order()?;
        }
        let layout = self.view.layout(&schema.columns)?;
        let judge = self.view.judge(judged)?;
        let order = self.rows.sort.map(|list| Order::parse(list, &schema.columns)).transpose()?;
        let sink = Sink::open(self.view.output.as_deref().unwrap_or(Path::new("-")), &STOP)?;
        let printer = Printer::new(sink, layout, self.view.options(), Clock::unix(schema.start_ns));
        let (rows, count) =
            (self.rows.rows.filter(|rows| *rows > 0).map(|rows| rows as u64), self.count.count);
        let left = rows.into_iter().chain(count).min();
        let ends_full = judge.is_none() || left == count;
        let mut run = Run { schema, printer, judge, left, ends_full };
        let read = match order {
            None => run.print_all(&mut lines),
            Some(order) => run.print_sorted(&mut lines, &order),
        };
        // Whatever was read stands, also where the rest can't be.
        written(run.printer.flush())?;
        read.with_context(|| name)?;
        run.judge.map_or(Ok(()), |judge| judge.verdict())?;
        Ok(0)
    }

    /// Histograms are not counted and sorted.
    fn check_has_no_order(&self) -> Result<(), Failure> {
        let rows = [("sort", self.rows.sort.is_some()), ("rows", self.rows.rows.is_some())];
        match rows.into_iter().chain([("count", self.count.count.is_some())]).find(|(_, given)| *given) {
            Some((flag, _)) => {
                Err(Failure::Usage(format!("--{flag}: this recording is of histograms, not rows")))
            }
            None => Ok(()),
        }
    }
}

struct Run {
    schema: Schema,
    printer: Printer,
    judge: Option<Judge>,
    /// How many rows are still to be printed.
    left: Option<u64>,
    /// Whether nothing is left to do then: rows beyond --rows may be the ones that are forbidden or expected.
    ends_full: bool,
}

impl Run {
    fn print_all(&mut self, lines: &mut Lines) -> anyhow::Result<()> {
        let Self { schema, printer, judge, left, ends_full } = self;
        printer.header();
        let mut printed = 0;
        while let Some((number, line)) = lines.next()? {
            match schema.read(&line).with_context(|| format!("line {number}"))? {
                Recorded::Row(row) => {
                    let mut rows = Rows::new(printer, left, judge.as_ref());
                    rows.push(row.ns, &row.values());
                    if rows.is_full() && (*ends_full || judge.as_ref().is_some_and(Judge::is_broken)) {
                        return Ok(());
                    }
                }
                Recorded::Histogram { ns, keys, histogram } => {
                    let keys: Vec<_> = keys.iter().map(|(name, cell)| (*name, cell.value())).collect();
                    if dist::admits(judge.as_ref(), &keys, &histogram) {
                        printer.histogram(ns, &keys, &histogram);
                    }
                    if judge.as_ref().is_some_and(Judge::is_broken) {
                        return Ok(());
                    }
                }
            }
            printed += 1;
            if printed % BATCH == 0 && written(printer.flush())?.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn print_sorted(&mut self, lines: &mut Lines, order: &Order) -> anyhow::Result<()> {
        let mut rows: Vec<Kept> = Vec::new();
        while let Some((number, line)) = lines.next()? {
            if let Recorded::Row(row) = self.schema.read(&line).with_context(|| format!("line {number}"))? {
                let mut kept = Rows::keep(&mut rows, self.judge.as_ref());
                kept.push(row.ns, &row.values());
                if kept.is_full() {
                    break;
                }
            }
        }
        order.sort(&mut rows);
        let most = self.left.map_or(usize::MAX, |left| left as usize);
        self.printer.header();
        rows.iter().take(most).for_each(|row| self.printer.row(row.ns, &row.values()));
        Ok(())
    }
}

/// Reads a recording as far as it is one; how many lines it has.
#[cfg(feature = "fuzz")]
pub fn read(data: &[u8]) -> anyhow::Result<usize> {
    let mut lines = Lines::new(Box::new(std::io::Cursor::new(data.to_vec())));
    // One tool, for speed.
    let tool = tools::find("opensnoop").and_then(|tool| cli::default_columns(tool).ok());
    let schema = Schema::of(lines.look_ahead(), tool.into_iter())?;
    let mut read = 0;
    while let Some((_, line)) = lines.next()? {
        schema.read(&line)?;
        read += 1;
    }
    Ok(read)
}
