//! What is measured, part by part.

pub mod cost;
pub mod memory;
pub mod scale;
pub mod startup;
pub mod throughput;

use std::{fs, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    contender::{Contender, Program},
    report::{self, Results},
    target,
    world::{Options, World},
};

type Part = fn(&World, &mut Results) -> Result<()>;

const PARTS: &[(&str, Part)] = &[
    ("start-up", startup::measure),
    ("cost", cost::measure),
    ("throughput", throughput::measure),
    ("memory", memory::measure),
    ("scale", scale::measure),
];

/// Measures, prints, and judges.
pub fn run(options: &Options) -> Result<ExitCode> {
    let world = World::new(options)?;
    let mut results = Results::default();
    if let Some(twice) = &options.twice {
        return self_check(&world, twice, &mut results);
    }
    for (name, part) in PARTS {
        if !options.quick || target::GUARDED.contains(name) {
            part(&world, &mut results)?;
        }
    }
    let mut verdicts = target::judge(&results, options.quick);
    if !options.only.is_empty() {
        verdicts.retain(|verdict| verdict.met.is_some());
    }
    let text = report::text(&results, &verdicts);
    print(&text)?;
    fs::write(&options.json, report::json(&results, &verdicts)?).context("the JSON")?;
    fs::write(&options.markdown, report::markdown(&world, &results, &verdicts)).context("the tables")?;
    let regressed = options.quick && verdicts.iter().any(|verdict| verdict.met == Some(false));
    Ok(if regressed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Measures tracer beside a tracer that does all its kernel work twice: that must show.
fn self_check(world: &World, twice: &std::path::Path, results: &mut Results) -> Result<ExitCode> {
    let ratio = cost::twice_as_dear(world, twice, results)?;
    // The second time finds everything in the cache, so it is somewhat cheaper than the first.
    let shows = (1.4..2.6).contains(&ratio);
    let word = if shows { "shows" } else { "DOES NOT SHOW" };
    print(&format!(
        "{}\na tool that does its work twice is {ratio:.2} times as dear over the empty floor: it {word}\n",
        report::text(results, &[])
    ))?;
    Ok(if shows { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(text: &str) -> Result<()> {
    use std::io::Write;
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

/// Whether a contender can be had; says so if not.
fn is_there(world: &World, contender: &Contender) -> bool {
    contender.program != Program::Peer || world.has(contender.words[0])
}
