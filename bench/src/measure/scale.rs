//! How the cost grows with what is filtered by.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
};

use anyhow::{Context, Result};

use crate::{
    contender::tracer,
    load::Kind,
    measure::cost::{ADDED, OPEN_MARK, opened_file},
    report::{self, Results, Rounds, Table},
    tool::{Load, Sink, Tool},
    world::World,
};

const TITLE: &str = "Scale: tracer opensnoop by filter";
const OPERATIONS: u64 = 300_000;
const PIDS: [usize; 3] = [1, 10, 1000];
const DEPTHS: [usize; 2] = [1, 8];

pub fn measure(world: &World, results: &mut Results) -> Result<()> {
    if !world.wants(TITLE) {
        return Ok(());
    }
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
    results.tables.push(Table { title: TITLE.to_owned(), lines });
    Ok(())
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
