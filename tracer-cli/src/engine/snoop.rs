//! The snoop shape: a row an event, from the ring buffer to stdout.

use std::rc::Rc;

use tokio::{
    io::unix::AsyncFd,
    task::yield_now,
    time::{MissedTickBehavior, interval},
};

use super::{
    judge::Judge,
    origin::{self, Origin},
    rows::Rows,
    session::{LOOK, Session, Stop, written},
    stack::rows::{self, RowStacks, Sides},
};
use crate::{
    bpf::ring::RingBuffer,
    output::{Column, Printer},
};

/// Records taken a turn: more would starve signals and timers.
const BATCH: usize = 4096;

/// A tool that prints a row an event.
pub trait Snoop {
    fn columns(&self) -> Vec<Column>;

    /// Prints the rows of one record, whose layout the tool shares with its kernel programs.
    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>);

    /// Stop after this many rows.
    fn limit(&self) -> Option<u64>;
}

/// The columns of a tool's rows, with those of the stacks that are asked for.
#[must_use]
pub fn columns(tool: &dyn Snoop, sides: Option<Sides>) -> Vec<Column> {
    let stacks = sides.map(Sides::columns).unwrap_or_default();
    origin::extend([tool.columns(), stacks].concat())
}

/// Runs until the session's end or the tool's limit.
///
/// # Errors
/// If output can't be written or the command can't be run.
pub async fn run(
    mut session: Session,
    tool: Box<dyn Snoop>,
    sides: Option<Sides>,
    stacks: Option<RowStacks>,
) -> anyhow::Result<u8> {
    let columns = columns(tool.as_ref(), sides);
    let mut printer = session.printer(&columns)?;
    let origin = session.origin(&columns)?;
    let map = session.map("EVENTS")?;
    // SAFETY: the descriptor is owned by the AsyncFd, and stays the same and open as long as it.
    let wake = unsafe { AsyncFd::register(map.fd().try_clone_to_owned()?) }?;
    let mut ring = RingBuffer::new(&map)?;
    // With a command, the header waits for the first row: the command may turn out to be none.
    if session.common.command.is_empty() {
        printer.header();
    }
    let mut stop = written(printer.flush())?;
    let mut stream =
        Stream { left: tool.limit(), tool, printer, judge: session.judge.clone(), origin, stacks };
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.is_none() {
        let more = !ring.is_empty();
        tokio::select! {
            biased;
            ended = session.stopped() => {
                stop = Some(ended?);
                session.detach();
                while stream.drain(&mut ring)?.is_none() && !ring.is_empty() {}
                continue;
            }
            () = yield_now(), if more => {}
            ready = wake.readable() => ready?.clear_ready(),
            ready = told(stream.stacks.as_ref()) => ready?,
            _ = look.tick() => session.check_lost()?,
        }
        stop = stream.drain(&mut ring)?;
    }
    if let Some(stacks) = stream.stacks.filter(|_| !session.common.quiet) {
        stacks.say_cut();
    }
    session.finish(stop.unwrap_or(Stop::Done))
}

/// Waits until stacks are told of, if there are any.
async fn told(stacks: Option<&RowStacks>) -> std::io::Result<()> {
    match stacks {
        Some(stacks) => stacks.readable().await,
        None => std::future::pending().await,
    }
}

/// From records to rows.
struct Stream {
    tool: Box<dyn Snoop>,
    printer: Printer,
    left: Option<u64>,
    judge: Option<Rc<Judge>>,
    origin: Option<Origin>,
    stacks: Option<RowStacks>,
}

impl Stream {
    /// Prints a batch of records, and flushes.
    fn drain(&mut self, ring: &mut RingBuffer) -> anyhow::Result<Option<Stop>> {
        let Self { tool, printer, left, judge, origin, stacks } = self;
        let judge = judge.as_deref();
        stacks.iter_mut().for_each(RowStacks::drain);
        ring.drain(BATCH, |record| {
            let (stacks, record) = match stacks {
                Some(stacks) => stacks.split(record),
                None => (Vec::new(), record),
            };
            let rows = Rows::new(printer, left, judge).with_origin(origin.as_ref());
            let mut rows = rows.with_stacks(rows::values(&stacks));
            tool.record(record, &mut rows);
            !rows.is_full()
        });
        let stop = written(printer.flush())?;
        if *left == Some(0) || printer.is_closed() || judge.is_some_and(Judge::is_broken) {
            return Ok(Some(Stop::Done));
        }
        Ok(stop)
    }
}
