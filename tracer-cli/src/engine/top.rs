//! The top shape: counters by key, sorted.

use super::{
    common::MaxRows,
    interval::{self, Delta, Deltas, Notes, Rhythm},
    judge::Judge,
    origin,
    rows::Rows,
    session::{Session, Stop, run_iterators, written},
    sort::Order,
};
use crate::{
    error::Failure,
    output::{Column, Format},
};

/// Rows of an interval in a table for people, unless they say otherwise.
const DEFAULT_ROWS: usize = 20;

/// A tool that prints sorted counters.
pub trait Top {
    fn columns(&self) -> Vec<Column>;

    /// The map of counters.
    fn map(&self) -> &'static str;

    fn rhythm(&self) -> Rhythm;

    /// `--rows` and `--sort`
    fn max_rows(&self) -> MaxRows {
        MaxRows { rows: None, sort: None }
    }

    /// Whether the kernel side tells more of each key, in [`Delta::note`].
    fn has_notes(&self) -> bool {
        false
    }

    /// Whether an interval is a single row, which no blank line sets apart.
    fn is_one_row(&self) -> bool {
        false
    }

    /// Whether the counters are read by iterators, which are to run before rows are printed.
    fn iterates(&self) -> bool {
        false
    }

    /// Prints an interval: by default, a row a key, the largest first counter first.
    fn interval(&mut self, ns: u64, mut deltas: Vec<Delta>, max: usize, rows: &mut Rows<'_>) {
        deltas.sort_by(|a, b| b.counters.cmp(&a.counters).then_with(|| a.key.cmp(&b.key)));
        for delta in deltas.iter().take(max) {
            self.row(ns, delta, rows);
        }
    }

    /// Prints one key's row.
    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>);
}

/// The order that the user wants; none if the tool's own.
///
/// # Errors
/// If it is by a column that the tool has not.
pub fn order(tool: &dyn Top) -> Result<Option<Order>, Failure> {
    tool.max_rows().sort.map(|list| Order::parse(list, &origin::extend(tool.columns()))).transpose()
}

/// Runs until the session's end or the tool's last interval.
///
/// # Errors
/// If output can't be written or the command can't be run.
pub async fn run(mut session: Session, mut tool: Box<dyn Top>) -> anyhow::Result<u8> {
    let map = session.map(tool.map())?;
    let columns = origin::extend(tool.columns());
    let mut printer = session.printer(&columns)?;
    let origin = session.origin(&columns)?;
    let default = if session.common.view.format() == Format::Table { DEFAULT_ROWS } else { 0 };
    let max = match tool.max_rows().rows.unwrap_or(default) {
        0 => usize::MAX,
        rows => rows,
    };
    let order = order(tool.as_ref())?;
    let rhythm = tool.rhythm();
    let judge = session.judge.clone();
    let iterators = if tool.iterates() { session.take_iterators() } else { Vec::new() };
    let mut deltas = Deltas::default();
    let mut notes = None;
    if tool.has_notes() {
        notes = Some(Notes::new(&*session.map("EVENTS")?, &map)?);
    }
    interval::run(session, rhythm, move |ns| {
        run_iterators(&iterators)?;
        if !tool.is_one_row() {
            printer.interval(ns);
        }
        printer.header();
        let mut growth = deltas.read(&map)?;
        if let Some(notes) = &mut notes {
            notes.add_to(&mut growth, &deltas);
        }
        let judge = judge.as_deref();
        if let Some(order) = &order {
            let mut rows = Vec::new();
            let mut kept = Rows::keep(&mut rows, judge).with_origin(origin.as_ref());
            tool.interval(ns, growth, usize::MAX, &mut kept);
            order.sort(&mut rows);
            rows.iter().take(max).for_each(|row| printer.row(row.ns, &row.values()));
        } else {
            // The judge looks at every row, and the limit is on those it admits.
            let asked = if judge.is_some() { usize::MAX } else { max };
            let mut left = (max < usize::MAX).then_some(max as u64);
            let mut rows = Rows::new(&mut printer, &mut left, judge).with_origin(origin.as_ref());
            tool.interval(ns, growth, asked, &mut rows);
        }
        let stop = written(printer.flush())?;
        Ok(if judge.is_some_and(Judge::is_broken) { Some(Stop::Done) } else { stop })
    })
    .await
}
