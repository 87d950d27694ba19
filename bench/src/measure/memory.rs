//! Memory: of idle tools, and of one with many keys.

use anyhow::Result;

use crate::{
    contender::{BY_THREAD, Contender, IDLE},
    load::Kind,
    measure::is_there,
    report::{self, Results, Rounds, Table},
    tool::{Load, Sink, Tool},
    world::World,
};

pub const IDLE_TITLE: &str = "Memory: at rest";
pub const PEAK: &str = "process peak, MB";
pub const KERNEL: &str = "kernel without ring buffer, MB";
const KEYS: [u64; 2] = [10, 100_000];

pub fn measure(world: &World, results: &mut Results) -> Result<()> {
    let many = KEYS.map(|keys| (format!("Memory: histograms of {keys} threads"), BY_THREAD, keys));
    let tables = [(IDLE_TITLE.to_owned(), IDLE, 0)].into_iter().chain(many);
    for (title, contenders, threads) in tables.filter(|(title, ..)| world.wants(title)) {
        report::progress(&title);
        let there = contenders.iter().filter(|contender| is_there(world, contender));
        let lines = there.map(|contender| {
            let mut rounds = Rounds::default();
            if let Err(error) = once(world, contender, threads, &mut rounds) {
                report::progress(&format!("{}: {error:#}", contender.label));
                rounds.fail(&error);
            }
            rounds.line(contender.label)
        });
        let lines = lines.collect();
        results.tables.push(Table { title, lines });
    }
    Ok(())
}

fn once(world: &World, contender: &Contender, threads: u64, rounds: &mut Rounds) -> Result<()> {
    const MB: f64 = 1e6;
    let load = Load::start(world, Kind::Threads, threads, "")?;
    let mut tool = Tool::start(world, contender, &[], load.id(), Sink::File, "")?;
    tool.wait_attached(load.id())?;
    let start_cpu = tool.cpu_ns();
    load.finish()?;
    let kernel = tool.kernel_bytes();
    rounds.add(0, PEAK, tool.peak_bytes() as f64 / MB);
    rounds.add(1, KERNEL, (kernel.all - kernel.ring) as f64 / MB);
    rounds.add(2, "ring buffer, MB", kernel.ring as f64 / MB);
    rounds.add(3, "kernel, each further CPU, MB", kernel.per_cpu as f64 / MB);
    rounds.add(4, "CPU to start, ms", start_cpu as f64 / 1e6);
    tool.stop("")?;
    Ok(())
}
