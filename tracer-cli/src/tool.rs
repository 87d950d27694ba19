//! What a tool is: its name, its flags, and the plan and shape they lead to.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{
    engine::{
        Plan,
        dist::{self, Dist},
        origin,
        snoop::{self, Snoop},
        stack::{self, Stack, rows::Sides},
        top::Top,
    },
    output::Column,
};

/// The part of the system a tool looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    Processes,
    Files,
    Network,
    Block,
    Cpu,
    Memory,
}

impl Domain {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Files => "files",
            Self::Network => "network",
            Self::Block => "block",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// A tool's entry in the lists.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub name: &'static str,
    /// Other names by which BCC's users know it.
    pub aliases: &'static [&'static str],
    pub domain: Domain,
    /// One line.
    pub summary: &'static str,
}

/// How a tool's events become output.
pub enum Shape {
    /// A row an event.
    Snoop(Box<dyn Snoop>),
    /// Histograms.
    Dist(Box<dyn Dist>),
    /// Sorted counters.
    Top(Box<dyn Top>),
    /// Stacks with weights.
    Stack(Box<dyn Stack>),
}

impl Shape {
    /// The columns of the tool's rows, with stacks if those are asked for; none, if it prints histograms.
    #[must_use]
    pub fn columns(&self, sides: Option<Sides>) -> Vec<Column> {
        match self {
            Self::Snoop(tool) => snoop::columns(tool.as_ref(), sides),
            Self::Top(top) => origin::extend(top.columns()),
            Self::Stack(tool) => stack::columns(tool.as_ref()),
            Self::Dist(_) => Vec::new(),
        }
    }

    /// What conditions are about: the columns, or what is told of a histogram.
    pub fn judged(&mut self, sides: Option<Sides>) -> Vec<Column> {
        match self {
            Self::Dist(dist) => dist::columns_of(dist.as_mut()),
            _ => self.columns(sides),
        }
    }
}

/// A tool. Its kernel programs are the object file of the same name.
pub trait Tool: 'static {
    const ABOUT: About;
    /// What the stacks are of that rows show with `--stack`; none where the thread that a row is about is not the one
    /// that its event finds running.
    const STACK_OF: Option<&'static str> = None;
    /// The flags it has besides the common ones.
    type Flags: Args;

    /// Chooses hooks and settings for the flags given.
    ///
    /// # Errors
    /// If the flags make no sense, or need what is not there.
    fn prepare(flags: Self::Flags, plan: &mut Plan) -> anyhow::Result<Shape>;
}

/// A tool in the list: what the command line needs of it, without its type.
pub struct Entry {
    pub about: About,
    pub stack_of: Option<&'static str>,
    pub augment: fn(Command) -> Command,
    pub prepare: fn(&ArgMatches, &mut Plan) -> anyhow::Result<Shape>,
}

impl Entry {
    /// The entry of a tool.
    #[must_use]
    pub const fn of<T: Tool>() -> Self {
        Self {
            about: T::ABOUT,
            stack_of: T::STACK_OF,
            augment: T::Flags::augment_args,
            prepare: |matches, plan| T::prepare(T::Flags::from_arg_matches(matches)?, plan),
        }
    }

    /// Whether the tool is known by this name.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.about.name == name || self.about.aliases.contains(&name)
    }
}
