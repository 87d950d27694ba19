//! What tools cost the program that they trace, and themselves.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    contender::{
        CALLS, CONNECTS, Contender, DIRECT_READS, EMPTY, EXECS, OPENS, STACK_SWITCHES, SWITCHES, TRACER,
        tracer,
    },
    load::{EXEC_MARK, Kind},
    measure::is_there,
    report::{self, Results, Rounds, Table},
    tool::{Load, Sink, Tool},
    world::{LoopDevice, World},
};

/// Part of the opened file's name.
pub const OPEN_MARK: &str = "bench-open";
/// Nothing is looked for among the rows.
const NO_MARK: &str = "\u{0}";

/// Distinct stacks of the switches.
const STACKS: &str = "10";

pub struct Workload {
    pub title: &'static str,
    kind: Kind,
    operations: u64,
    mark: &'static str,
    contenders: &'static [Contender],
}

pub const OPENS_TITLE: &str = "Cost: open and close";
pub const EXECS_TITLE: &str = "Cost: fork, exec and wait";
pub const CALLS_TITLE: &str = "Cost: getppid";
pub const SWITCHES_TITLE: &str = "Cost: context switch";
pub const STACK_SWITCHES_TITLE: &str = "Cost: context switch, its stacks";

const WORKLOADS: &[Workload] = &[
    Workload {
        title: OPENS_TITLE,
        kind: Kind::Opens,
        operations: 1_000_000,
        mark: OPEN_MARK,
        contenders: OPENS,
    },
    Workload {
        title: EXECS_TITLE,
        kind: Kind::Execs,
        operations: 20_000,
        mark: EXEC_MARK,
        contenders: EXECS,
    },
    Workload {
        title: CALLS_TITLE,
        kind: Kind::Calls,
        operations: 5_000_000,
        mark: NO_MARK,
        contenders: CALLS,
    },
    Workload {
        title: SWITCHES_TITLE,
        kind: Kind::Switches,
        operations: 1_000_000,
        mark: NO_MARK,
        contenders: SWITCHES,
    },
    Workload {
        title: STACK_SWITCHES_TITLE,
        kind: Kind::StackSwitches,
        operations: 500_000,
        mark: NO_MARK,
        contenders: STACK_SWITCHES,
    },
    Workload {
        title: "Cost: connect, accept and close",
        kind: Kind::Connects,
        operations: 50_000,
        mark: NO_MARK,
        contenders: CONNECTS,
    },
    Workload {
        title: "Cost: direct read of 4 KB",
        kind: Kind::DirectReads,
        operations: 100_000,
        mark: NO_MARK,
        contenders: DIRECT_READS,
    },
];

pub fn measure(world: &World, results: &mut Results) -> Result<()> {
    for workload in WORKLOADS.iter().filter(|workload| world.wants(workload.title)) {
        report::progress(workload.title);
        match workload.measure(world, workload.contenders, &[]) {
            Ok(table) => results.tables.push(table),
            Err(error) => report::progress(&format!("{}: left out: {error:#}", workload.title)),
        }
    }
    Ok(())
}

pub const ADDED: &str = "added ns/op";
pub const CPU: &str = "tool CPU ns/op";
pub const MISSING: &str = "neither shown nor said lost";
pub const LOST: &str = "not shown, of a million";

impl Workload {
    /// Round by round, each contender in its turn.
    fn measure(
        &self,
        world: &World,
        contenders: &[Contender],
        others: &[(&Path, Contender)],
    ) -> Result<Table> {
        let device = (self.kind == Kind::DirectReads).then(|| LoopDevice::new(world)).transpose()?;
        let argument = match (&device, self.kind) {
            (Some(device), _) => device.0.clone(),
            (None, Kind::StackSwitches) => STACKS.to_owned(),
            (None, _) => opened_file(world)?,
        };
        let turns: Vec<(Option<&Path>, &Contender)> = contenders
            .iter()
            .filter(|contender| is_there(world, contender))
            .map(|contender| (None, contender))
            .chain(others.iter().map(|(program, contender)| (Some(*program), contender)))
            .collect();
        let mut alone = Rounds::default();
        let mut rounds: Vec<Rounds> = turns.iter().map(|_| Rounds::default()).collect();
        for _ in 0..world.rounds {
            let base = self.alone(world, &argument)?;
            alone.add(0, "ns/op", base);
            for ((program, contender), rounds) in turns.iter().zip(&mut rounds) {
                if rounds.has_failed() {
                    continue;
                }
                let turn = Turn { world, program: *program, contender, argument: &argument, base };
                if let Err(error) = self.beside(&turn, rounds) {
                    report::progress(&format!("{}: {error:#}", contender.label));
                    rounds.fail(&error);
                }
            }
        }
        let mut lines = vec![alone.line("no tool")];
        lines.extend(turns.iter().zip(rounds).map(|((_, contender), rounds)| rounds.line(contender.label)));
        Ok(Table { title: self.title.to_owned(), lines })
    }

    fn operations(&self, world: &World, share: u64) -> u64 {
        self.operations / world.divisor / share
    }

    /// Nanoseconds an operation without a tool.
    fn alone(&self, world: &World, argument: &str) -> Result<f64> {
        let operations = self.operations(world, 1);
        Ok(Load::start(world, self.kind, operations, argument)?.finish()? / operations as f64)
    }

    fn beside(&self, turn: &Turn<'_>, rounds: &mut Rounds) -> Result<()> {
        let operations = self.operations(turn.world, turn.contender.share);
        let load = Load::start(turn.world, self.kind, operations, turn.argument)?;
        let other;
        let world = match turn.program {
            Some(program) => {
                other = turn.world.with(program);
                &other
            }
            None => turn.world,
        };
        let mut tool = Tool::start(world, turn.contender, &[], load.id(), Sink::File, self.mark)?;
        tool.wait_attached(load.id())?;
        let before = tool.cpu_ns();
        let ns = load.finish()? / operations as f64;
        // What is still queued belongs to the cost.
        std::thread::sleep(std::time::Duration::from_millis(100));
        let cpu = tool.cpu_ns() - before;
        let printed = tool.stop(self.mark)?;
        rounds.add(0, "ns/op", ns);
        rounds.add(1, ADDED, ns - turn.base);
        rounds.add(2, CPU, cpu as f64 / operations as f64);
        if self.mark != NO_MARK && printed.rows > 0 {
            let made = operations as f64;
            rounds.add(3, LOST, (made - printed.rows as f64) / made * 1e6);
            rounds.add(4, MISSING, made - printed.rows as f64 - printed.lost as f64);
        }
        Ok(())
    }
}

/// The file that is opened again and again; other workloads don't look at it.
pub fn opened_file(world: &World) -> Result<String> {
    let file = world.file(OPEN_MARK);
    std::fs::write(&file, "")?;
    file.to_str().map(str::to_owned).context("a path that is no text")
}

/// One contender's turn of a round.
struct Turn<'a> {
    world: &'a World,
    program: Option<&'a Path>,
    contender: &'a Contender,
    argument: &'a str,
    /// Nanoseconds an operation without a tool.
    base: f64,
}

/// How much dearer, over an empty program, a tool is that does its work twice.
pub fn twice_as_dear(world: &World, twice: &Path, results: &mut Results) -> Result<f64> {
    const LABEL: &str = "tracer, twice";
    let contenders: Vec<Contender> =
        OPENS.iter().filter(|contender| [EMPTY, TRACER].contains(&contender.label)).copied().collect();
    let table = WORKLOADS[0].measure(world, &contenders, &[(twice, tracer(LABEL, &["opensnoop"]))])?;
    results.tables.push(table);
    let added = |label: &str| results.median(OPENS_TITLE, label, ADDED).context("it was not measured");
    let empty = added(EMPTY)?;
    Ok((added(LABEL)? - empty) / (added(TRACER)? - empty))
}
