//! From exec to the first event that a tool captures: the workload's events are named by their time.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::{
    contender::{Contender, START_UP_EXECS, START_UP_OPENS},
    load::{CLOCK_MARK, Kind},
    measure::is_there,
    report::{self, Results, Rounds, Table},
    tool::{Load, Sink, Tool},
    world::World,
};

pub const TITLE: &str = "Start-up";
pub const FIRST: &str = "first event, ms after exec";
/// A start is short: more rounds than of other things.
const TIMES: usize = 5;

pub fn measure(world: &World, results: &mut Results) -> Result<()> {
    if !world.wants(TITLE) {
        return Ok(());
    }
    report::progress(TITLE);
    let mut lines = Vec::new();
    for (kind, contenders) in [(Kind::ClockOpens, START_UP_OPENS), (Kind::ClockExecs, START_UP_EXECS)] {
        let mut rounds: Vec<(&Contender, Rounds)> = contenders
            .iter()
            .filter(|contender| is_there(world, contender))
            .map(|c| (c, Rounds::default()))
            .collect();
        for _ in 0..world.rounds * TIMES {
            for (contender, rounds) in &mut rounds {
                if !rounds.has_failed()
                    && let Err(error) = once(world, kind, contender, rounds)
                {
                    report::progress(&format!("{}: {error:#}", contender.label));
                    rounds.fail(&error);
                }
            }
        }
        lines.extend(rounds.into_iter().map(|(contender, rounds)| rounds.line(contender.label)));
    }
    results.tables.push(Table { title: TITLE.to_owned(), lines });
    Ok(())
}

fn once(world: &World, kind: Kind, contender: &Contender, rounds: &mut Rounds) -> Result<()> {
    let mut load = Load::start(world, kind, 0, "")?;
    load.go()?;
    std::thread::sleep(Duration::from_millis(20));
    let mut tool = Tool::start(world, contender, &[], load.id(), Sink::File, CLOCK_MARK)?;
    let row = tool.wait_for(CLOCK_MARK)?;
    let (_, rest) = row.split_once(CLOCK_MARK).context("no mark")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let captured: u64 = digits.parse().context("no time in the row")?;
    rounds.add(0, FIRST, captured.saturating_sub(tool.started_ns) as f64 / 1e6);
    drop(load);
    tool.stop(CLOCK_MARK)?;
    Ok(())
}
