//! What was measured, as text for people, as JSON, and as the tables of docs/performance.md.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use anyhow::Result;
use serde_json::json;

use crate::{stats::Sample, target::Verdict, tool::cpus, world::World};

/// One line of a table: who, and what was measured of it.
#[derive(Clone, Debug)]
pub struct Line {
    pub contender: String,
    /// By the name of the measure, with its unit.
    pub samples: Vec<(&'static str, Sample)>,
    /// What went wrong, or is to be known.
    pub note: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Table {
    pub title: String,
    pub lines: Vec<Line>,
}

#[derive(Debug, Default)]
pub struct Results {
    pub tables: Vec<Table>,
}

impl Results {
    /// The median of a measure.
    pub fn median(&self, title: &str, contender: &str, measure: &str) -> Option<f64> {
        let table = self.tables.iter().find(|table| table.title == title)?;
        let line = table.lines.iter().find(|line| line.contender == contender)?;
        line.samples.iter().find(|(name, _)| *name == measure).map(|(_, sample)| sample.median)
    }
}

/// Values of several rounds, on their way to a table's line.
#[derive(Debug, Default)]
pub struct Rounds {
    values: BTreeMap<usize, (&'static str, Vec<f64>)>,
    note: Option<String>,
}

impl Rounds {
    /// Adds a round's value; measures stand in the order of `column`.
    pub fn add(&mut self, column: usize, measure: &'static str, value: f64) {
        self.values.entry(column).or_insert((measure, Vec::new())).1.push(value);
    }

    /// A contender that failed once is not asked again.
    pub fn fail(&mut self, error: &anyhow::Error) {
        self.note = Some(format!("{error:#}"));
    }

    pub fn has_failed(&self) -> bool {
        self.note.is_some()
    }

    pub fn line(self, contender: &str) -> Line {
        let samples = self.values.into_values();
        let samples = samples.filter_map(|(measure, values)| Some((measure, Sample::of(&values)?)));
        Line { contender: contender.to_owned(), samples: samples.collect(), note: self.note }
    }
}

pub fn progress(word: &str) {
    eprintln!("bench: {word}");
}

/// As many digits as mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100. || value.fract() == 0. => format!("{value:.0}"),
        size if size >= 10. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn spread(sample: &Sample) -> String {
    if sample.low == sample.high {
        return figure(sample.median);
    }
    format!("{} ({} to {})", figure(sample.median), figure(sample.low), figure(sample.high))
}

fn measures(table: &Table) -> Vec<&'static str> {
    let mut measures = Vec::new();
    for (name, _) in table.lines.iter().flat_map(|line| &line.samples) {
        if !measures.contains(name) {
            measures.push(*name);
        }
    }
    measures
}

fn cells(table: &Table) -> Vec<Vec<String>> {
    let measures = measures(table);
    let mut rows = vec![[""].iter().chain(&measures).map(|word| (*word).to_owned()).collect::<Vec<_>>()];
    for line in &table.lines {
        let sample = |name: &&str| line.samples.iter().find(|(measure, _)| measure == name);
        let cell = |name: &&str| sample(name).map_or("-".to_owned(), |(_, sample)| spread(sample));
        let mut row = vec![line.contender.clone()];
        match &line.note {
            Some(note) if line.samples.is_empty() => row.push(note.clone()),
            _ => row.extend(measures.iter().map(cell)),
        }
        rows.push(row);
    }
    rows
}

pub fn text(results: &Results, verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for table in &results.tables {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "\n== {}", table.title);
        let rows = cells(table);
        let whole = rows.iter().filter(|row| row.len() == rows[0].len());
        let width = |column: usize| whole.clone().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        for row in &rows {
            let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
    if !verdicts.is_empty() {
        let _ = writeln!(text, "\n== targets");
    }
    for verdict in verdicts {
        let _ = writeln!(
            text,
            "{:<8} {}: {} (target {})",
            verdict.word(),
            verdict.name,
            verdict.got(),
            verdict.bound()
        );
    }
    text
}

pub fn markdown(world: &World, results: &Results, verdicts: &[Verdict]) -> String {
    let mut text = machine(world);
    let _ = writeln!(text, "\n### Targets\n\n| measure | target | got | |\n|---|---|---|---|");
    for verdict in verdicts {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            verdict.name,
            verdict.bound(),
            verdict.got(),
            verdict.word()
        );
    }
    for table in &results.tables {
        let _ = writeln!(text, "\n### {}\n", table.title);
        let rows = cells(table);
        for (index, row) in rows.iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if index == 0 {
                let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
            }
        }
    }
    text
}

/// The machine and the programs' sizes.
fn machine(world: &World) -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let size = fs::metadata(&world.tracer).map_or(0, |meta| meta.len());
    format!(
        "Machine: {} CPUs ({}), {} GB, kernel {}. The binary `tracer`: {:.1} MB. Rounds: {}.\n",
        cpus(),
        model.map_or("unknown", |(_, name)| name),
        memory.unwrap_or(0) >> 20,
        read("/proc/sys/kernel/osrelease"),
        size as f64 / 1e6,
        world.rounds,
    )
}

pub fn json(results: &Results, verdicts: &[Verdict]) -> Result<String> {
    let tables: Vec<_> = results.tables.iter().map(|table| {
        let lines: Vec<_> = table.lines.iter().map(|line| {
            let samples: serde_json::Map<String, serde_json::Value> = line.samples.iter().map(|(name, sample)| {
                let value = json!({ "median": sample.median, "low": sample.low, "high": sample.high, "rounds": sample.rounds });
                ((*name).to_owned(), value)
            }).collect();
            json!({ "contender": line.contender, "samples": samples, "note": line.note })
        }).collect();
        json!({ "title": table.title, "lines": lines })
    }).collect();
    let targets: Vec<_> = verdicts.iter().map(|verdict| {
        json!({ "name": verdict.name, "target": verdict.bound, "got": verdict.got, "met": verdict.met })
    }).collect();
    Ok(serde_json::to_string_pretty(&json!({ "tables": tables, "targets": targets }))?)
}
