//! What a tool wants of the kernel: hooks, constants, map sizes.

use std::path::PathBuf;

use zerocopy::{Immutable, IntoBytes};

use super::common::Common;
use crate::{
    bpf::{
        hook::{Hook, Kernel, Point, Sampling, UserFunction},
        object::Linked,
    },
    system::room,
};

/// What a tool does when its maps are there and nothing is attached yet.
pub type Setup = Box<dyn Fn(&Kernel, &Linked) -> anyhow::Result<()>>;

/// Finds functions of user space, when the run begins.
pub type FindFunctions = Box<dyn Fn() -> anyhow::Result<Vec<UserFunction>>>;

/// A tool's wishes, filled in by its `prepare`.
#[derive(Default)]
pub struct Plan {
    /// The name that the tool was called by: its own, or an alias.
    pub called: String,
    /// Hooks without which the tool does not run.
    pub required: Vec<Point>,
    /// Hooks that add what some kernels can't show.
    pub optional: Vec<Point>,
    pub globals: Vec<(&'static str, Vec<u8>)>,
    pub entries: Vec<(&'static str, u32)>,
    /// Sets: a map's keys.
    pub sets: Vec<(&'static str, Vec<Vec<u8>>)>,
    pub setup: Option<Setup>,
    /// Finds where the functions are that hooks in user space are for.
    pub user_functions: Option<FindFunctions>,
    /// How CPUs are sampled.
    pub sampling: Sampling,
    /// Programs tell of stacks.
    pub stacks: bool,
    /// The run filters by who did something.
    pub filters: bool,
    /// The least latency of which a filter lets rows through, in nanoseconds.
    pub pushed_min_ns: Option<u64>,
    /// The tool has a threshold below which it shows nothing.
    pub has_threshold: bool,
    /// The only processes it looks at, if it is those.
    pub pids: Vec<u32>,
    /// The command it runs.
    pub command: Option<PathBuf>,
}

/// Follows processes: forks in, ends out.
const FOLLOW: [Point; 2] = [
    &[&[Hook::TpBtf("sched_process_fork")], &[Hook::RawTp("sched_process_fork")]],
    &[&[Hook::TpBtf("sched_process_free")], &[Hook::RawTp("sched_process_free")]],
];

impl Plan {
    /// An empty plan for a run with these flags.
    #[must_use]
    pub fn new(common: &Common) -> Self {
        let follows = common.follow || !common.command.is_empty();
        let filters = follows
            || !common.pid.is_empty()
            || !common.tid.is_empty()
            || !common.uid.is_empty()
            || !common.comm.is_empty()
            || common.cgroup.is_some()
            || common.container.is_some()
            || common.pushed.parts().next().is_some();
        let (pids, command) = (common.pid.clone(), common.command.first().map(PathBuf::from));
        let mut plan =
            Self { filters, pids, command, pushed_min_ns: common.pushed.min_ns, ..Self::default() };
        if follows {
            FOLLOW.iter().for_each(|point| plan.hook(point));
        }
        plan
    }

    /// Needs one of these hooks.
    pub fn hook(&mut self, point: Point) {
        self.required.push(point);
    }

    /// Takes one of these hooks if this kernel has it.
    pub fn hook_if_there(&mut self, point: Point) {
        self.optional.push(point);
    }

    /// Sets a constant of the kernel programs.
    pub fn set<T: IntoBytes + Immutable + Copy>(&mut self, name: &'static str, value: T) {
        self.globals.push((name, value.as_bytes().to_vec()));
    }

    /// Sets a map's capacity.
    pub fn entries(&mut self, map: &'static str, entries: u32) {
        self.entries.push((map, entries));
    }

    /// Gives a map room for an entry a thread.
    pub fn entries_by_thread(&mut self, map: &'static str) {
        self.entries(map, room::for_threads());
    }

    /// Makes these the keys of a map that is a set.
    pub fn fill(&mut self, map: &'static str, keys: Vec<Vec<u8>>) {
        self.sets.push((map, keys));
    }

    /// Fills maps by what the running kernel tells, before anything is attached.
    pub fn setup(&mut self, setup: impl Fn(&Kernel, &Linked) -> anyhow::Result<()> + 'static) {
        self.setup = Some(Box::new(setup));
    }

    /// All hooks that may be used.
    pub fn hooks(&self) -> impl Iterator<Item = Hook> {
        self.required.iter().chain(&self.optional).flat_map(|point| point.iter().copied().flatten().copied())
    }
}
