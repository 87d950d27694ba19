//! How the cost grows with what is filtered by, and with the number of stacks.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{
    contender::{BY_STACK, Contender, tracer},
    load::Kind,
    measure::{
        cost::{ADDED, OPEN_MARK, opened_file},
        is_there, memory,
    },
    report::{self, Results, Rounds, Table},
    tool::{Load, Sink, Tool},
    world::World,
};

const TITLE: &str = "Scale: tracer opensnoop by filter";
const OPERATIONS: u64 = 300_000;
const PIDS: [usize; 3] = [1, 10, 1000];
const DEPTHS: [usize; 2] = [1, 8];

/// Distinct stacks, and switches under them.
const STACKS: [u64; 3] = [10, 1000, MANY_STACKS];
pub const MANY_STACKS: u64 = 10_000;
const SWITCHES: u64 = 100_000;
/// From Ctrl-C until all is printed.
pub const TO_END: &str = "to its end, s";

pub fn stacks_title(stacks: u64) -> String {
    format!("Scale: off-CPU time by {stacks} stacks")
}

pub fn measure(world: &World, results: &mut Results) -> Result<()> {
    if world.wants(TITLE) {
        results.tables.push(by_filter(world)?);
    }
    for stacks in STACKS.into_iter().filter(|&stacks| world.wants(&stacks_title(stacks))) {
        results.tables.push(by_stacks(world, stacks)?);
    }
    Ok(())
}

fn by_stacks(world: &World, stacks: u64) -> Result<Table> {
    report::progress(&stacks_title(stacks));
    let there: Vec<&Contender> = BY_STACK.iter().filter(|contender| is_there(world, contender)).collect();
    let mut rounds: Vec<Rounds> = there.iter().map(|_| Rounds::default()).collect();
    for _ in 0..world.rounds {
        let base = Load::start(world, Kind::StackSwitches, SWITCHES, &stacks.to_string())?.finish()?;
        for (contender, rounds) in there.iter().zip(&mut rounds) {
            if !rounds.has_failed()
                && let Err(error) = stacks_once(world, contender, stacks, base, rounds)
            {
                report::progress(&format!("{}: {error:#}", contender.label));
                rounds.fail(&error);
            }
        }
    }
    let lines = there.iter().zip(rounds).map(|(contender, rounds)| rounds.line(contender.label));
    Ok(Table { title: stacks_title(stacks), lines: lines.collect() })
}

fn stacks_once(
    world: &World,
    contender: &Contender,
    stacks: u64,
    base: f64,
    rounds: &mut Rounds,
) -> Result<()> {
    const MB: f64 = 1e6;
    let load = Load::start(world, Kind::StackSwitches, SWITCHES, &stacks.to_string())?;
    let mut tool = Tool::start(world, contender, &[], load.id(), Sink::File, "")?;
    tool.wait_attached(load.id())?;
    let ns = load.finish()?;
    let kernel = tool.kernel_bytes();
    let asked = Instant::now();
    let printed = tool.stop("")?;
    rounds.add(0, ADDED, (ns - base) / SWITCHES as f64);
    rounds.add(1, TO_END, asked.elapsed().as_secs_f64());
    rounds.add(2, memory::PEAK, printed.peak as f64 / MB);
    rounds.add(3, memory::KERNEL, (kernel.all - kernel.ring) as f64 / MB);
    Ok(())
}

fn by_filter(world: &World) -> Result<Table> {
    report::progress(TITLE);
    let file = opened_file(world)?;
    let sleepers = Sleepers::start(*PIDS.last().unwrap_or(&0))?;
    let pids = sleepers.pids();
    let groups = Groups::make(*DEPTHS.last().unwrap_or(&0));
    let mut cases: Vec<(String, Case<'_>)> = vec![("no filter".to_owned(), Case::All)];
    cases.extend(PIDS.map(|count| (format!("--pid, {count} processes"), Case::Pids(&pids[..count - 1]))));
    match &groups {
        Ok(groups) => {
            cases.extend(DEPTHS.map(|depth| (format!("--cgroup, {depth} deep"), Case::Group(groups, depth))));
        }
        Err(error) => report::progress(&format!("no cgroups: {error:#}")),
    }
    let mut rounds: Vec<Rounds> = cases.iter().map(|_| Rounds::default()).collect();
    for _ in 0..world.rounds {
        let base = Load::start(world, Kind::Opens, OPERATIONS, &file)?.finish()?;
        for ((_, case), rounds) in cases.iter().zip(&mut rounds) {
            if let Err(error) = once(world, &file, base, case, rounds) {
                rounds.fail(&error);
            }
        }
    }
    let lines = cases.iter().zip(rounds).map(|((label, _), rounds)| rounds.line(label)).collect();
    Ok(Table { title: TITLE.to_owned(), lines })
}

enum Case<'a> {
    All,
    /// These processes and the workload's.
    Pids(&'a [u32]),
    Group(&'a Groups, usize),
}

fn once(world: &World, file: &str, base: f64, case: &Case<'_>, rounds: &mut Rounds) -> Result<()> {
    let load = Load::start(world, Kind::Opens, OPERATIONS, file)?;
    let extra = match case {
        Case::All => Vec::new(),
        Case::Pids(others) => {
            let pids: Vec<String> =
                others.iter().copied().chain([load.id()]).map(|pid| pid.to_string()).collect();
            vec!["--pid".to_owned(), pids.join(",")]
        }
        Case::Group(groups, depth) => {
            groups.put(load.id())?;
            vec!["--cgroup".to_owned(), groups.folders[*depth - 1].display().to_string()]
        }
    };
    let mut tool =
        Tool::start(world, &tracer("tracer", &["opensnoop"]), &extra, load.id(), Sink::File, OPEN_MARK)?;
    tool.wait_attached(load.id())?;
    let ns = load.finish()?;
    let printed = tool.stop(OPEN_MARK)?;
    rounds.add(0, ADDED, (ns - base) / OPERATIONS as f64);
    rounds.add(1, "not shown", OPERATIONS as f64 - printed.rows as f64 - printed.lost as f64);
    Ok(())
}

/// Processes that do nothing.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn start(count: usize) -> Result<Self> {
        let sleepers = (0..count).map(|_| Command::new("sleep").arg("3600").spawn());
        Ok(Self(sleepers.collect::<Result<_, _>>()?))
    }

    fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Cgroups, each in the one before.
struct Groups {
    folders: Vec<PathBuf>,
}

impl Groups {
    fn make(depth: usize) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let is_cgroup2 = |line: &&str| line.split(' ').nth(2) == Some("cgroup2");
        let mount = mounts.lines().find(is_cgroup2).context("no cgroup v2 is mounted")?;
        let mut folder = PathBuf::from(mount.split(' ').nth(1).context("no mount point")?);
        let mut groups = Self { folders: Vec::new() };
        for _ in 0..depth {
            folder = folder.join("tracer-bench");
            fs::create_dir(&folder)?;
            groups.folders.push(folder.clone());
        }
        Ok(groups)
    }

    /// Puts a process into the innermost.
    fn put(&self, pid: u32) -> Result<()> {
        let innermost = self.folders.last().context("no cgroup")?;
        Ok(fs::write(innermost.join("cgroup.procs"), pid.to_string())?)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}
