//! The stack shape: stacks with weights, as a tree, folded, as a flame graph, or a row a stack.

mod flags;
#[cfg(feature = "flamegraph")]
mod flamegraph;
#[cfg(not(feature = "flamegraph"))]
#[path = "no_flamegraph.rs"]
mod flamegraph;
mod progress;
pub mod rows;
mod seen;
mod tree;

use std::{rc::Rc, time::Duration};

use tokio::{
    io::unix::AsyncFd,
    time::{MissedTickBehavior, interval},
};
use tracer_common::{
    record::until_nul,
    stack::{Key, Weight},
};
use zerocopy::FromBytes;

use super::{
    interval::{Deltas, ticks},
    judge::Judge,
    origin::{self, Origin},
    session::{LOOK, Session, Stop, written},
};
use crate::output::{Clock, Column, Format, Printer, Value, escape};
use crate::symbols::Symbols;

pub use flags::StackFlags;
use flamegraph::About;
pub use flamegraph::FlameGraph;
use progress::Progress;
use seen::Seen;
use tree::{Frame, Tree};

/// A tool that prints stacks.
pub trait Stack {
    fn flags(&self) -> &StackFlags;

    /// What the stacks weigh; none where that is how often they were seen.
    fn unit(&self) -> Option<Unit> {
        None
    }

    /// What the programs that take the stacks sit on.
    fn taken(&self) -> Taken {
        Taken::OnTracepoints
    }

    /// What is counted, in a word.
    fn counted(&self) -> &'static str;

    /// The map that the kernel side counts in.
    fn map(&self) -> &'static str {
        "STACK_COUNTS"
    }

    /// Stacks that stand together in a key, the first one's the tool's own.
    fn parts(&self) -> usize {
        1
    }

    /// Columns of [`Weighted::more`].
    fn more_columns(&self) -> Vec<Column> {
        Vec::new()
    }

    /// What the tree says of a stack below its innermost function.
    fn note(&self, _: &Weighted) -> Option<String> {
        None
    }

    /// What stacks weigh, or what they have grown by since the last call.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn read(&mut self, session: &Session, deltas: &mut Deltas) -> anyhow::Result<Vec<Weighted>> {
        read_counts(session, self.map(), deltas)
    }
}

/// Where stacks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There, stacks end with what leads to tracer's own program, which is left out.
    OnTracepoints,
    /// Where functions of user space return.
    AtReturns,
    /// Wherever a CPU is.
    Anywhere,
}

/// What stacks weigh.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// Such as `us`.
    pub name: &'static str,
    /// The column that has it.
    pub column: &'static str,
    pub about: &'static str,
    /// The kernel side's numbers in a unit.
    pub size: u64,
}

/// A key of stacks, with what it weighs.
#[derive(Clone, Debug)]
pub struct Weighted {
    pub parts: Vec<Key>,
    pub count: u64,
    pub total: u64,
    /// What else there is to say of it, for rows.
    pub more: Vec<f64>,
}

/// What the kernel side has counted by stack: keys that hold one stack, or several.
///
/// # Errors
/// If the kernel refuses.
pub fn read_counts(session: &Session, map: &str, deltas: &mut Deltas) -> anyhow::Result<Vec<Weighted>> {
    let map = session.map(map)?;
    let weighted = deltas.read(&map)?.into_iter().filter_map(|delta| {
        let parts = delta.key.chunks(size_of::<Key>()).map(|part| Key::read_from_bytes(part).ok());
        let [count, total] = delta.counters[..] else { return None };
        Some(Weighted { parts: parts.collect::<Option<_>>()?, count, total, more: Vec::new() })
    });
    Ok(weighted.collect())
}

const _: () = assert!(size_of::<Weight>() == 16);

/// Columns of a part of a key.
const PARTS: [[&str; 5]; 2] = [
    ["pid", "tid", "comm", "user_stack", "kernel_stack"],
    ["waker_pid", "waker_tid", "waker_comm", "waker_user_stack", "waker_kernel_stack"],
];

/// The columns of rows; instead of a table there is a tree.
#[must_use]
pub fn columns(tool: &dyn Stack) -> Vec<Column> {
    let mut columns = Vec::new();
    for [pid, tid, comm, user, kernel] in PARTS.into_iter().take(tool.parts()) {
        columns.extend([
            Column::number(pid, 7, "process"),
            Column::number(tid, 7, "thread, with --by-thread"),
            Column::text(comm, 16, "command name"),
            Column::stack(user, 30, "functions in user space, the outermost first"),
            Column::stack(kernel, 30, "functions in the kernel, the outermost first"),
        ]);
    }
    columns.push(Column::number("count", 9, "how often it was seen"));
    if let Some(unit) = tool.unit() {
        columns.push(Column::number(unit.column, 12, unit.about).unit(unit.name));
    }
    columns.extend(tool.more_columns());
    origin::extend(columns)
}

/// Runs until the session's end or the last interval.
///
/// # Errors
/// If output can't be written or the command can't be run.
pub async fn run(
    mut session: Session,
    tool: Box<dyn Stack>,
    name: &str,
    symbols: Symbols,
    flame_graph: Option<FlameGraph>,
) -> anyhow::Result<u8> {
    let is_rows = session.common.view.format() != Format::Table && !tool.flags().folded;
    let columns = columns(tool.as_ref());
    let printer = session.printer(if is_rows { &columns } else { &[] })?;
    let origin = session.origin(&columns)?;
    let ring = session.map("STACKS")?;
    // SAFETY: the descriptor is owned by the AsyncFd, and stays the same and open as long as it.
    let wake = unsafe { AsyncFd::register(ring.fd().try_clone_to_owned()?) }?;
    let rhythm = tool.flags().rhythm();
    let mut report = Report {
        seen: Seen::new(&ring, symbols, tool.taken())?,
        flame_graph,
        tool,
        printer,
        deltas: Deltas::default(),
        is_rows,
        cut_said: false,
        judge: session.judge.clone(),
        origin,
    };
    let mut ticks = ticks(rhythm.every.unwrap_or(Duration::from_secs(1 << 30)));
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut left = rhythm.limit;
    let mut progress = Progress::new(&session);
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            ended = session.stopped() => {
                let stop = ended?;
                session.detach();
                progress.clear();
                report.print(&session)?;
                report.draw(&session, name)?;
                return session.finish(stop);
            }
            _ = ticks.tick() => {
                progress.clear();
                left = left.map(|left| left - 1);
                let stop = report.print(&session)?.or((left == Some(0)).then_some(Stop::Done));
                if let Some(stop) = stop {
                    report.draw(&session, name)?;
                    return session.finish(stop);
                }
            }
            ready = wake.readable() => {
                ready?.clear_ready();
                report.seen.drain();
            }
            _ = seconds.tick() => progress.show(&session, report.tool.map(), report.tool.counted())?,
            _ = look.tick() => {
                session.check_lost()?;
                report.seen.drain();
            }
        }
    }
}

/// What prints stacks.
struct Report {
    tool: Box<dyn Stack>,
    printer: Printer,
    seen: Seen,
    flame_graph: Option<FlameGraph>,
    deltas: Deltas,
    is_rows: bool,
    /// It was said whose stacks are cut.
    cut_said: bool,
    judge: Option<Rc<Judge>>,
    origin: Option<Origin>,
}

impl Report {
    fn print(&mut self, session: &Session) -> anyhow::Result<Option<Stop>> {
        // Stacks are told of before they are counted.
        let mut weighted = self.tool.read(session, &mut self.deltas)?;
        self.seen.drain();
        self.seen.look_up(&weighted);
        let (judge, origin) = (self.judge.clone(), self.origin.as_ref());
        if let Some(judge) = &judge {
            let admits = |values: &[Value<'_>]| judge.admits(values);
            weighted.retain(|stack| with_values(self.tool.as_ref(), &self.seen, origin, stack, admits));
        }
        let ns = Clock::monotonic_ns();
        self.printer.interval(ns);
        self.printer.header();
        if self.is_rows {
            weighted.sort_by_key(|stack| std::cmp::Reverse(self.weight(stack)));
            for stack in &weighted {
                let print = |values: &[Value<'_>]| self.printer.row(ns, values);
                with_values(self.tool.as_ref(), &self.seen, origin, stack, print);
            }
        } else if self.flame_graph.is_none() || self.tool.flags().folded {
            let mut tree = Tree::default();
            self.grow(&mut tree, &weighted);
            let flags = self.tool.flags();
            let mut out = Vec::new();
            if flags.folded {
                tree.fold(&mut out);
            } else {
                tree.draw(&mut out, self.unit(), flags.min_percent);
            }
            self.printer.text(&out);
        }
        if let Some(mut graph) = self.flame_graph.take() {
            self.grow(&mut graph.stacks, &weighted);
            self.flame_graph = Some(graph);
        }
        let stop = written(self.printer.flush())?;
        if !session.common.quiet {
            self.say_cut(&weighted);
        }
        Ok(if judge.is_some_and(|judge| judge.is_broken()) { Some(Stop::Done) } else { stop })
    }

    /// Draws the flame graph, if one is wanted.
    fn draw(&mut self, session: &Session, name: &str) -> anyhow::Result<()> {
        let Some(graph) = self.flame_graph.take() else { return Ok(()) };
        let unit = self.unit();
        let (target, now) = (session.common.target(), jiff::Zoned::now().strftime("%F %T %Z"));
        let subtitle = format!("{target}; {now}; {} {unit}", graph.stacks.total());
        graph.draw(About { title: format!("tracer {name}"), subtitle, unit })
    }

    /// The unit of weights.
    fn unit(&self) -> &'static str {
        self.tool.unit().map_or(self.tool.counted(), |unit| unit.name)
    }

    /// Says, once, whose stacks are not whole.
    fn say_cut(&mut self, weighted: &[Weighted]) {
        let cut = self.seen.cut(weighted);
        if !cut.is_empty() && !std::mem::replace(&mut self.cut_said, true) {
            say_cut(&cut);
        }
    }

    fn weight(&self, stack: &Weighted) -> u64 {
        weight(self.tool.as_ref(), stack)
    }

    fn grow(&self, tree: &mut Tree, weighted: &[Weighted]) {
        for stack in weighted {
            let mut frames = self.frames(&stack.parts);
            if !self.tool.flags().folded {
                frames.extend(self.tool.note(stack).map(|note| note.into_bytes().into()));
            }
            tree.add(&frames, self.weight(stack));
        }
    }

    /// A whole stack, the outermost first: whose it is, its functions, and what woke it from there on back.
    fn frames(&self, parts: &[Key]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut own = vec![self.name(part)];
            own.extend(self.seen.names(part.user).into_iter().map(Frame::from));
            own.extend(self.seen.names(part.kernel).into_iter().map(Frame::from));
            if index > 0 {
                frames.push((*b"--").into());
                own.reverse();
            }
            frames.extend(own);
        }
        frames
    }

    fn name(&self, part: &Key) -> Frame {
        let mut name = until_nul(&part.comm).to_vec();
        if part.tid != 0 {
            name.extend_from_slice(format!("/{}", part.tid).as_bytes());
        }
        name.into()
    }
}

/// Says in which binaries stacks are cut, the most first.
fn say_cut(cut: &[(Rc<str>, u64)]) {
    const NAMES: usize = 5;
    if cut.is_empty() {
        return;
    }
    let mut files = Vec::new();
    for (index, (file, _)) in cut.iter().take(NAMES).enumerate() {
        files.extend_from_slice(if index > 0 { b", " } else { b"" });
        escape::text(&mut files, file.as_bytes());
    }
    let more = if cut.len() > NAMES { format!(" and {} more", cut.len() - NAMES) } else { String::new() };
    let files = String::from_utf8_lossy(&files);
    eprintln!("tracer: stacks are cut where binaries were built without frame pointers: {files}{more}");
}

fn weight(tool: &dyn Stack, stack: &Weighted) -> u64 {
    tool.unit().map_or(stack.count, |unit| stack.total / unit.size.max(1))
}

/// Shows the row of a stack.
fn with_values<R>(
    tool: &dyn Stack,
    seen: &Seen,
    origin: Option<&Origin>,
    stack: &Weighted,
    see: impl FnOnce(&[Value<'_>]) -> R,
) -> R {
    let names: Vec<[Vec<Rc<str>>; 2]> =
        stack.parts.iter().map(|part| [part.user, part.kernel].map(|id| seen.names(id))).collect();
    let mut values = Vec::new();
    for (part, [user, kernel]) in stack.parts.iter().zip(&names) {
        values.extend([
            Value::Uint(part.pid.into()),
            if part.tid == 0 { Value::Null } else { Value::Uint(part.tid.into()) },
            Value::Text(until_nul(&part.comm)),
            Value::Frames(user),
            Value::Frames(kernel),
        ]);
    }
    values.push(Value::Uint(stack.count));
    if tool.unit().is_some() {
        values.push(Value::Uint(weight(tool, stack)));
    }
    values.extend(stack.more.iter().map(|&value| Value::Float(value, 3)));
    match origin {
        Some(origin) => origin.extend(&values, see),
        None => see(&values),
    }
}
