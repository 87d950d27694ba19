//! memleak: memory that was allocated and is not freed, by the stack that allocated it.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::bail;
use tracer_common::{
    stack::{KERNEL, Key, USER},
    tools::memleak::{Allocation, Place},
};
use zerocopy::FromBytes;

use crate::{
    bpf::{
        hook::{Hook, Point, UserFunction},
        map::possible_cpus,
    },
    engine::{
        Plan,
        common::{duration, size},
        interval::Deltas,
        session::Session,
        stack::{Stack, StackFlags, Taken, Unit, Weighted},
    },
    error::Failure,
    output::{Clock, Column},
    system::{allocators, c_library, elf},
    tool::{About, Domain, Shape, Tool},
};

/// How old memory must be to be shown: the most is freed soon.
const OLD: Duration = Duration::from_millis(500);

/// Where what processes allocate stands.
const USER_MAP: &str = "ALLOCATIONS";

pub struct Memleak {
    flags: Flags,
    map: &'static str,
    /// Processes that had ended when it was last looked: what they had is no more.
    gone: HashSet<u32>,
}

#[derive(clap::Args)]
pub struct Flags {
    /// The kernel's memory, even of these processes
    #[arg(short, long, conflicts_with = "lib")]
    kernel: bool,
    /// Kinds of the kernel's memory
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_enum,
        default_value = "slab",
        help_heading = "Filters"
    )]
    kinds: Vec<Kind>,
    /// Programs or libraries whose allocators to look at, instead of those that the processes have
    #[arg(short = 'O', long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    lib: Vec<PathBuf>,
    /// Only what was allocated this long ago or longer (default 500ms; of a process that has ended all)
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Filters")]
    older: Option<Duration>,
    /// Only allocations of so many bytes or more
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Filters")]
    min_size: Option<u64>,
    /// Only allocations of so many bytes or fewer
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Filters")]
    max_size: Option<u64>,
    /// Look at one in N allocations only
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Filters")]
    sample: u32,
    /// Show the N largest stacks (0: all)
    #[arg(long, value_name = "N", default_value = "10", help_heading = "Output")]
    top: usize,
    /// Allocations at a time that there is room for
    #[arg(long, value_name = "N", default_value = "262144",
        value_parser = clap::value_parser!(u32).range(1..=1 << 26), help_heading = "Run")]
    max_allocations: u32,
    #[command(flatten)]
    stacks: StackFlags,
}

/// Kinds of the kernel's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Small objects: kmalloc and caches
    Slab,
    /// Pages
    Pages,
    /// Memory that each CPU has
    Percpu,
}

macro_rules! tracepoint {
    ($name:literal) => {
        &[&[Hook::RawTp($name)]]
    };
}

macro_rules! functions {
    ($($name:literal)*) => {
        [$(&[&[Hook::Uprobe($name), Hook::Uretprobe($name)]]),*]
    };
}

const FUNCTIONS: [Point; 10] = {
    let [malloc, calloc, realloc, reallocarray, memalign, posix_memalign, mmap, mremap]: [Point; 8] =
        functions!("malloc" "calloc" "realloc" "reallocarray" "memalign" "posix_memalign" "mmap" "mremap");
    [
        malloc,
        calloc,
        realloc,
        reallocarray,
        memalign,
        posix_memalign,
        mmap,
        mremap,
        &[&[Hook::Uprobe("free")]],
        &[&[Hook::Uprobe("munmap")]],
    ]
};

impl Kind {
    const fn tracepoints(self) -> &'static [Point] {
        match self {
            Self::Slab => &[
                tracepoint!("kmalloc"),
                tracepoint!("kmem_cache_alloc"),
                tracepoint!("kfree"),
                tracepoint!("kmem_cache_free"),
            ],
            Self::Pages => &[tracepoint!("mm_page_alloc"), tracepoint!("mm_page_free")],
            Self::Percpu => &[tracepoint!("percpu_alloc_percpu"), tracepoint!("percpu_free_percpu")],
        }
    }
}

impl Tool for Memleak {
    const ABOUT: About = About {
        name: "memleak",
        aliases: &[],
        domain: Domain::Memory,
        summary: "Memory that is allocated and not freed, by the stack that allocated it",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        let is_user = !flags.kernel && (plan.filters || !flags.lib.is_empty());
        plan.set("MIN_BYTES", flags.min_size.unwrap_or(0));
        plan.set("MAX_BYTES", flags.max_size.unwrap_or(u64::MAX));
        plan.set("EVERY", flags.sample);
        let map = if is_user { USER_MAP } else { "KERNEL_ALLOCATIONS" };
        plan.entries(map, flags.max_allocations);
        if is_user {
            flags.stacks.plan_of(USER, plan);
            plan.entries_by_thread("CALLS");
            FUNCTIONS.iter().for_each(|point| plan.hook(point));
            plan.hook(&[&[Hook::TpBtf("sched_process_exec")], &[Hook::RawTp("sched_process_exec")]]);
            let (lib, pids, command) = (flags.lib.clone(), plan.pids.clone(), plan.command.clone());
            plan.user_functions = Some(Box::new(move || find(&lib, &pids, command.as_deref())));
        } else {
            flags.stacks.plan_of(KERNEL, plan);
            plan.set("CPUS", possible_cpus() as u32);
            for kind in &flags.kinds {
                kind.tracepoints().iter().for_each(|point| plan.hook(point));
            }
            if flags.kinds.contains(&Kind::Slab) {
                plan.hook_if_there(tracepoint!("kmalloc_node"));
                plan.hook_if_there(tracepoint!("kmem_cache_alloc_node"));
            }
        }
        Ok(Shape::Stack(Box::new(Self { flags, map, gone: HashSet::new() })))
    }
}

/// The allocators' functions: in the files given, else in all that the processes have or the command will have; of
/// processes that are not known by number the C libraries.
fn find(lib: &[PathBuf], pids: &[u32], command: Option<&Path>) -> anyhow::Result<Vec<UserFunction>> {
    let files = match (lib, command) {
        ([], None) if pids.is_empty() => c_library::of_processes(&[]),
        ([], None) => allocators::files_of_processes(pids),
        ([], Some(command)) => allocators::files_of_program(command),
        (lib, _) => lib.to_vec(),
    };
    let mut functions = Vec::new();
    for file in &files {
        let found = allocators::of_file(file);
        if found.is_empty() && lib.contains(file) {
            bail!(
                "--lib {}: no 64-bit program or library with malloc and free{}",
                file.display(),
                of_go(file)
            );
        }
        functions.extend(found);
    }
    if functions.is_empty() {
        let hint = files.iter().map(|file| of_go(file)).find(|hint| !hint.is_empty()).unwrap_or_default();
        let why = format!("no allocator was found: give the program or library that has it by --lib{hint}");
        return Err(Failure::Unsupported(why).into());
    }
    Ok(functions)
}

/// Go's memory is its own, and programs at the return of its functions would break it, as it moves its stacks.
fn of_go(file: &Path) -> &'static str {
    if elf::is_go(file) { " (a Go program does not use any: see memgrow)" } else { "" }
}

/// What is outstanding of a stack.
struct Outstanding {
    count: u64,
    bytes: u64,
    oldest_ns: u64,
    newest_ns: u64,
}

impl Memleak {
    /// What is allocated longer than asked for, by stack.
    fn outstanding(&mut self, session: &Session) -> anyhow::Result<HashMap<Key, Outstanding>> {
        let map = session.map(self.map)?;
        let programs = session.object.map("PROGRAMS");
        let mut since: HashMap<u32, u64> = HashMap::new();
        if let Some(programs) = programs {
            programs.for_each(|pid, ns| {
                if let (Some(pid), Some(ns)) = (pid.first_chunk(), ns.first_chunk()) {
                    since.insert(u32::from_ne_bytes(*pid), u64::from_ne_bytes(*ns));
                }
            })?;
        }
        let now = Clock::monotonic_ns();
        let (default, wanted) = (ns(OLD), self.flags.older.map(ns));
        let mut ended: HashMap<u32, bool> = HashMap::new();
        let (mut found, mut no_more) = (HashMap::new(), Vec::new());
        map.for_each(|place, allocation| {
            let (Ok(place), Ok(allocation)) =
                (Place::ref_from_bytes(place), Allocation::read_from_bytes(allocation))
            else {
                return;
            };
            let replaced = since.get(&place.pid).is_some_and(|&since| allocation.ns < since);
            // What a process has not freed when it ends is old enough.
            let ended = *ended.entry(place.pid).or_insert_with(|| has_ended(place.pid));
            let older = wanted.unwrap_or(if ended { 0 } else { default });
            if replaced || self.gone.contains(&place.pid) {
                no_more.push(*place);
            } else if allocation.ns.saturating_add(older) <= now {
                add(&mut found, &allocation);
            }
        })?;
        for place in no_more {
            map.remove(zerocopy::IntoBytes::as_bytes(&place))?;
        }
        self.gone = ended.into_iter().filter_map(|(pid, ended)| ended.then_some(pid)).collect();
        Ok(found)
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn add(found: &mut HashMap<Key, Outstanding>, allocation: &Allocation) {
    let ns = allocation.ns;
    let stack = found.entry(allocation.by).or_insert(Outstanding {
        count: 0,
        bytes: 0,
        oldest_ns: ns,
        newest_ns: ns,
    });
    stack.count += 1;
    stack.bytes = stack.bytes.saturating_add(allocation.bytes);
    stack.oldest_ns = stack.oldest_ns.min(ns);
    stack.newest_ns = stack.newest_ns.max(ns);
}

/// Whether a process has no memory any more. The kernel, which has number 0 here, has.
fn has_ended(pid: u32) -> bool {
    pid != 0 && fs::read(format!("/proc/{pid}/maps")).unwrap_or_default().is_empty()
}

impl Stack for Memleak {
    fn flags(&self) -> &StackFlags {
        &self.flags.stacks
    }

    fn unit(&self) -> Option<Unit> {
        Some(Unit { name: "bytes", column: "size_bytes", about: "memory that is not freed", size: 1 })
    }

    fn counted(&self) -> &'static str {
        "allocations"
    }

    fn taken(&self) -> Taken {
        if self.map == USER_MAP { Taken::AtReturns } else { Taken::OnTracepoints }
    }

    fn more_columns(&self) -> Vec<Column> {
        vec![
            Column::number("oldest_s", 10, "age of the oldest of them").unit("s").hidden(),
            Column::number("newest_s", 10, "age of the newest of them").unit("s").hidden(),
        ]
    }

    fn note(&self, stack: &Weighted) -> Option<String> {
        let [oldest, newest] = stack.more[..] else { return None };
        Some(match stack.count {
            1 => format!("[1 allocation, {oldest:.1} s old]"),
            count => format!("[{count} allocations, {newest:.1} to {oldest:.1} s old]"),
        })
    }

    fn read(&mut self, session: &Session, _: &mut Deltas) -> anyhow::Result<Vec<Weighted>> {
        let now = Clock::monotonic_ns();
        let age = |ns: u64| now.saturating_sub(ns) as f64 / 1e9;
        let mut stacks: Vec<Weighted> = self
            .outstanding(session)?
            .into_iter()
            .map(|(key, Outstanding { count, bytes, oldest_ns, newest_ns })| Weighted {
                parts: vec![key],
                count,
                total: bytes,
                more: vec![age(oldest_ns), age(newest_ns)],
            })
            .collect();
        stacks.sort_by_key(|stack| std::cmp::Reverse((stack.total, stack.count)));
        if self.flags.top > 0 {
            stacks.truncate(self.flags.top);
        }
        Ok(stacks)
    }
}
