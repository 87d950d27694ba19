//! `--stack`: rows of events with the stacks of who caused them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::io::unix::AsyncFd;
use tracer_common::stack::{KERNEL, LOST_STACK, NO_STACK, Stacks, USER};
use zerocopy::FromBytes;

use super::{
    Taken,
    flags::plan_ids,
    say_cut,
    seen::{names_of, told},
};
use crate::{
    bpf::ring::RingBuffer,
    engine::{plan::Plan, session::Session},
    output::{Column, Value},
    symbols::{Place, Symbols},
};

/// The sides of the stacks that rows show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sides {
    Both,
    User,
    Kernel,
}

/// The flag of tools that print a row an event.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct RowStackFlags {
    /// Show stacks with rows
    #[arg(long, id = FLAG, value_name = "SIDES", num_args = 0..=1, require_equals = true, default_missing_value = "both",
        help_heading = "Output")]
    pub stack: Option<Sides>,
}

/// The flag's name.
pub const FLAG: &str = "stack";

/// Stacks that the kernel side remembers to have told of.
const IDS: u32 = 4096;
/// Tellings of stacks that are remembered here: so many more that the kernel side has none in mind which is
/// forgotten here.
const MOST_TOLD: usize = 8 * IDS as usize;
/// A stack is told of before its event; only another CPU's that is just being told may be in its way.
const PATIENCE: Duration = Duration::from_millis(100);

impl Sides {
    /// Sets what the kernel side must know.
    pub fn plan(self, plan: &mut Plan) {
        let sides = match self {
            Self::Both => USER | KERNEL,
            Self::User => USER,
            Self::Kernel => KERNEL,
        };
        plan.stacks = true;
        plan.set("STACK_SIDES", sides);
        plan.set("STACKS_OF_EVENTS", 1_u32);
        plan_ids(plan, IDS);
    }

    /// The columns, as tools that print nothing but stacks have them.
    #[must_use]
    pub fn columns(self) -> Vec<Column> {
        let user = Column::stack("user_stack", 30, "functions in user space, the outermost first");
        let kernel = Column::stack("kernel_stack", 30, "functions in the kernel, the outermost first");
        self.choose(user, kernel)
    }

    fn choose<T>(self, user: T, kernel: T) -> Vec<T> {
        match self {
            Self::Both => vec![user, kernel],
            Self::User => vec![user],
            Self::Kernel => vec![kernel],
        }
    }
}

/// A stack's names, the outermost first.
type Frames = Rc<[Rc<str>]>;

/// Knows the stacks of events.
pub struct RowStacks {
    ring: RingBuffer,
    wake: AsyncFd<OwnedFd>,
    sides: Sides,
    taken: Taken,
    symbols: Symbols,
    told: Told,
    /// Stacks by the file that they are cut in.
    cut: BTreeMap<Rc<str>, u64>,
}

impl RowStacks {
    /// # Errors
    /// If the ring buffer can't be read.
    pub fn new(session: &Session, sides: Sides, taken: Taken, symbols: Symbols) -> anyhow::Result<Self> {
        let map = session.map("STACKS")?;
        // SAFETY: the descriptor is owned by the AsyncFd, and stays the same and open as long as it.
        let wake = unsafe { AsyncFd::register(map.fd().try_clone_to_owned()?) }?;
        let told = Told::new(MOST_TOLD);
        Ok(Self { ring: RingBuffer::new(&map)?, wake, sides, taken, symbols, told, cut: BTreeMap::new() })
    }

    /// Waits until there are stacks to be read.
    ///
    /// # Errors
    /// If the descriptor is not to be waited for.
    pub async fn readable(&self) -> std::io::Result<()> {
        self.wake.readable().await?.clear_ready();
        Ok(())
    }

    /// Reads what was told, while the processes are there to be looked at.
    pub fn drain(&mut self) {
        let Self { ring, symbols, taken, .. } = self;
        let mut new: Vec<(u64, Box<[Place]>)> = Vec::new();
        ring.drain(usize::MAX, |record| {
            if let Some((stack, frames)) = told(record) {
                let places = match stack.parent {
                    0 => symbols.locate(stack.pid, &frames, *taken == Taken::AtReturns),
                    parent => symbols.locate_before_exec(stack.pid, parent, &frames),
                };
                new.push((stack.id, places));
            }
            true
        });
        symbols.look_up(new.iter().flat_map(|(_, places)| places).copied());
        for (id, places) in new {
            self.told.add(id, || names_of(&self.symbols, &places, self.taken).into());
            if let Some(file) = places.last().and_then(|place| self.symbols.is_cut_in(*place)) {
                *self.cut.entry(Rc::clone(file)).or_default() += 1;
            }
        }
        self.symbols.make_room();
    }

    /// The stacks whose ids stand ahead of a record, and the record.
    pub fn split<'a>(&mut self, record: &'a [u8]) -> (Vec<Frames>, &'a [u8]) {
        let (stacks, record) = Stacks::read_from_prefix(record).unwrap_or((Stacks::NONE, record));
        let ids = self.sides.choose(stacks.user, stacks.kernel);
        (ids.into_iter().map(|id| self.names(id)).collect(), record)
    }

    fn names(&mut self, id: u64) -> Frames {
        if id == NO_STACK {
            return Rc::new([]);
        }
        if id != LOST_STACK && self.told.get(id).is_none() {
            self.wait_for(id);
        }
        self.told.get(id).cloned().unwrap_or_else(|| [Rc::from("[lost]")].into())
    }

    fn wait_for(&mut self, id: u64) {
        let end = Instant::now() + PATIENCE;
        loop {
            // In this order: what was there before the look is read after it.
            let is_last = self.ring.is_empty() || Instant::now() > end;
            self.drain();
            if is_last || self.told.get(id).is_some() {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Says which binaries stacks are cut in.
    pub fn say_cut(&self) {
        let mut cut: Vec<_> = self.cut.iter().map(|(file, count)| (Rc::clone(file), *count)).collect();
        cut.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        say_cut(&cut);
    }
}

/// The values of a row's stacks.
#[must_use]
pub fn values(stacks: &[Frames]) -> Vec<Value<'_>> {
    stacks.iter().map(|frames| Value::Frames(frames)).collect()
}

/// The stacks that were told of last.
struct Told {
    /// With how often each is in the order.
    stacks: HashMap<u64, (Frames, u32)>,
    order: VecDeque<u64>,
    most: usize,
}

impl Told {
    fn new(most: usize) -> Self {
        Self { stacks: HashMap::new(), order: VecDeque::new(), most }
    }

    fn get(&self, id: u64) -> Option<&Frames> {
        self.stacks.get(&id).map(|(frames, _)| frames)
    }

    /// A stack is told of. The first names stay: told again, its process may have gone meanwhile.
    fn add(&mut self, id: u64, names: impl FnOnce() -> Frames) {
        self.stacks.entry(id).or_insert_with(|| (names(), 0)).1 += 1;
        self.order.push_back(id);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
            && let Some((_, times)) = self.stacks.get_mut(&oldest)
        {
            *times -= 1;
            if *times == 0 {
                self.stacks.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(name: &str) -> Frames {
        [Rc::from(name)].into()
    }

    #[test]
    fn what_was_told_of_last_is_known() {
        let mut told = Told::new(3);
        for (id, name) in [(1, "a"), (2, "b"), (1, "later"), (3, "c")] {
            told.add(id, || frames(name));
        }
        let known = |told: &Told| [1, 2, 3, 4].map(|id| told.get(id).map(|frames| frames[0].to_string()));
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(known(&told), [some("a"), some("b"), some("c"), None], "the second telling of 1 is kept");
        told.add(4, || frames("d"));
        assert_eq!(known(&told), [some("a"), None, some("c"), some("d")]);
        told.add(3, || frames("c"));
        assert_eq!(known(&told), [None, None, some("c"), some("d")]);
        assert_eq!((told.order.len(), told.stacks.len()), (3, 2));
    }

    #[test]
    fn the_sides_that_are_asked_for_are_columns() {
        let names = |sides: Sides| sides.columns().iter().map(|column| column.name).collect::<Vec<_>>();
        assert_eq!(names(Sides::Both), ["user_stack", "kernel_stack"]);
        assert_eq!(names(Sides::User), ["user_stack"]);
        assert_eq!(names(Sides::Kernel), ["kernel_stack"]);
    }
}
