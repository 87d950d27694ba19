//! How many events a second arrive whole: shown, said to be lost, or neither.

use anyhow::Result;

use crate::{
    contender::{Contender, THROUGHPUT},
    load::Kind,
    measure::{
        cost::{OPEN_MARK, opened_file},
        is_there,
    },
    report::{self, Results, Rounds, Table},
    tool::{Load, Sink, Tool},
    world::World,
};

const RATES: [u64; 3] = [100_000, 300_000, 1_000_000];
const SECONDS: u64 = 2;
pub const NOT_SHOWN: &str = "not shown";
pub const UNACCOUNTED: &str = "neither shown nor said lost";

pub fn title(rate: u64, sink: Sink) -> String {
    format!(
        "Throughput: {} thousand opens a second, into a {}",
        rate / 1000,
        if sink == Sink::File { "file" } else { "pipe" }
    )
}

pub fn all() -> impl Iterator<Item = (u64, Sink)> {
    RATES.into_iter().flat_map(|rate| [(rate, Sink::File), (rate, Sink::Pipe)])
}

pub fn measure(world: &World, results: &mut Results) -> Result<()> {
    let file = opened_file(world)?;
    for (rate, sink) in all().filter(|&(rate, sink)| world.wants(&title(rate, sink))) {
        report::progress(&title(rate, sink));
        let argument = format!("{file} {rate}");
        let mut rounds: Vec<(&Contender, Rounds)> = THROUGHPUT
            .iter()
            .filter(|contender| is_there(world, contender))
            .map(|c| (c, Rounds::default()))
            .collect();
        for _ in 0..world.rounds.min(2) {
            for (contender, rounds) in &mut rounds {
                if !rounds.has_failed()
                    && let Err(error) = once(world, &argument, rate, sink, contender, rounds)
                {
                    report::progress(&format!("{}: {error:#}", contender.label));
                    rounds.fail(&error);
                }
            }
        }
        let lines = rounds.into_iter().map(|(contender, rounds)| rounds.line(contender.label));
        results.tables.push(Table { title: title(rate, sink), lines: lines.collect() });
    }
    Ok(())
}

fn once(
    world: &World,
    argument: &str,
    rate: u64,
    sink: Sink,
    contender: &Contender,
    rounds: &mut Rounds,
) -> Result<()> {
    let operations = rate * SECONDS;
    let load = Load::start(world, Kind::PacedOpens, operations, argument)?;
    let mut tool = Tool::start(world, contender, &[], load.id(), sink, OPEN_MARK)?;
    tool.wait_attached(load.id())?;
    let before = tool.cpu_ns();
    let ns = load.finish()?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    let cpu = tool.cpu_ns() - before;
    let printed = tool.stop(OPEN_MARK)?;
    rounds.add(0, "opens/s reached", operations as f64 / ns * 1e9);
    rounds.add(1, NOT_SHOWN, operations as f64 - printed.rows as f64);
    rounds.add(2, UNACCOUNTED, operations as f64 - printed.rows as f64 - printed.lost as f64);
    rounds.add(3, "tool CPU ns/row", cpu as f64 / printed.rows.max(1) as f64);
    rounds.add(4, "bytes/row", printed.bytes as f64 / printed.rows.max(1) as f64);
    Ok(())
}
