//! The flags that all tools share: each tool has them, takes them and does with them what the others do.

use std::{collections::BTreeSet, fs, mem};

use super::{tool_names, tool_names_here};
use crate::{
    harness::{
        Cgroup, Context, Load, Output, Result, Scratch, Suite, Test, ensure, equal, in_vm, sys, tracer,
    },
    standard::{Events, Shape, Standard},
    tools,
};

pub const SUITE: Suite = Suite {
    name: "cli::flags",
    standard: None,
    tests: &[
        Test::user("the_readme_has_the_flags_of_every_tool", the_readme_has_the_flags_of_every_tool),
        Test::new("every_tool_takes_every_flag", every_tool_takes_every_flag),
        Test::new("every_tool_takes_conditions_and_columns", every_tool_takes_conditions_and_columns),
        Test::new("every_tool_does_what_they_say", every_tool_does_what_they_say),
    ],
    workloads: &[],
};

const README: &str = include_str!("../../../README.md");

/// Flags that only those tools have in which they mean something.
const OF_SOME: &[&str] = &["count", "failed", "min", "rows", "sort", "stack"];

/// The flags of a tool.
fn flags_of(tool: &str) -> Result<BTreeSet<String>> {
    let output = tracer(&[tool, "--help"]).output()?.ok()?;
    // Of other flags, help speaks in the words after a flag's own.
    let lines = output.text()?.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.map(|line| line.split("  ").next().unwrap_or_default());
    Ok(words.flat_map(long_flags).collect())
}

/// The long names of flags in a text.
fn long_flags(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name = |rest: &str| rest.chars().take_while(|c| is_part(*c)).collect::<String>();
    text.split("--").skip(1).map(name).filter(|name| !name.is_empty()).collect()
}

/// The flags of the README's table of common ones.
fn readme_flags() -> Result<BTreeSet<String>> {
    let (_, section) = README.split_once("\n## Common flags\n").context("the README has no such section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    Ok(cells.flat_map(long_flags).collect())
}

/// What it calls common, they have; and what they all have, it calls common.
fn the_readme_has_the_flags_of_every_tool() -> Result<()> {
    let common = readme_flags()?;
    ensure!(common.contains("ready-file") && common.len() > 20, "only {common:?}");
    let mut in_all: Option<BTreeSet<String>> = None;
    for tool in tool_names() {
        let has = flags_of(tool)?;
        let lacks: Vec<_> =
            common.difference(&has).filter(|flag| !OF_SOME.contains(&flag.as_str())).collect();
        ensure!(lacks.is_empty(), "{tool} has no {lacks:?}");
        in_all = Some(in_all.map_or(has.clone(), |all| &all & &has));
    }
    let unsaid: Vec<_> = in_all
        .unwrap_or_default()
        .into_iter()
        .filter(|flag| flag != "help" && !common.contains(flag))
        .collect();
    ensure!(unsaid.is_empty(), "the README's table of common flags has no {unsaid:?}");
    Ok(())
}

/// Dry runs with all that can be given at once. What a kernel lacks is no matter here.
fn every_tool_takes_every_flag() -> Result<()> {
    let scratch = Scratch::new()?;
    let (output, ready) = (scratch.file("rows"), scratch.file("ready"));
    let pid = sys::pid().to_string();
    let group = Cgroup::new("flags")?;
    let one = [
        &["-p", &pid, "-t", &pid, "-u", "0,nobody", "-n", "a*,b?", "-f", "--cgroup", group.arg()][..],
        &["-d", "1s", "--buffer", "64k", "--strict", "--ready-file", &ready, "--ready-fd", "2"],
        &["-F", "tsv", "-o", &output, "-T=rel", "--no-header", "--wide", "-q", "--dry-run"],
        &["--as-user", "--wait", "--", "true"],
    ]
    .concat();
    let other = [
        &["--pid", &pid, "--tid", &pid, "--uid", "0", "--comm", "a", "--follow", "--duration", "500ms"][..],
        &["--json", "--output", "-", "--time", "-vv", "--dry-run"],
    ]
    .concat();
    for tool in tool_names_here() {
        for words in [&one, &other] {
            let words = [&[tool], &words[..]].concat();
            let run = tracer(&words).output()?;
            ensure!(run.code == 0, "a dry run with all flags: {run}");
            ensure!(run.stdout.is_empty() || run.text()?.starts_with("would "), "rows of a dry run: {run}");
        }
    }
    Ok(())
}

/// Each tool's own columns in every flag that names some, and its complaint where there is no such column.
fn every_tool_takes_conditions_and_columns() -> Result<()> {
    for standard in chosen() {
        let (tool, column) = (standard.tool, column_of(standard)?);
        let (always, order) = (always(column), format!("-{column}"));
        let run = |words: &[&str]| tracer(&[&[tool], standard.args, words].concat()).output();
        let mut good = vec!["--filter", &always, "--forbid", &always, "--expect", &always, "--dry-run"];
        if !matches!(standard.shape, Shape::Dist) {
            good.extend(["--columns", column]);
        }
        // Whoever has the flags is to keep them: the check of sorted tables is for just those tools.
        let flags = flags_of(tool)?;
        let has = ["rows", "sort"].map(|flag| flags.contains(flag));
        equal("whether it has --rows and --sort", has, [standard.sorts().is_some(); 2]).context(tool)?;
        if standard.sorts() == Some(&[]) {
            good.extend(["--rows", "1", "--sort", &order]);
        }
        let output = run(&good)?;
        ensure!(output.code == 0 && output.stderr.starts_with("would "), "a dry run: {output}");
        for (flag, value) in [("--filter", "nosuch == 1"), ("--columns", "nosuch"), ("--container", "nosuch")]
        {
            let output = run(&[flag, value, "--dry-run"])?;
            ensure!(output.fails(2)?.contains(flag), "{flag} is not named: {output}");
        }
    }
    Ok(())
}

/// A column of a tool; a histogram's unit is none.
fn column_of(standard: &Standard) -> Result<&'static str> {
    standard.keys.iter().copied().find(|key| *key != "unit").context("no columns")
}

/// A condition that holds for every row.
fn always(column: &str) -> String {
    format!("{column} == null || !({column} == null)")
}

/// The tools that this kernel can run; on emulated machines one of each shape stands for all.
fn chosen() -> impl Iterator<Item = &'static Standard> {
    let mut shapes = Vec::new();
    let standards = tools::SUITES.iter().filter_map(|suite| suite.standard.as_ref());
    standards.filter(move |standard| {
        let shape = mem::discriminant(&standard.shape);
        let is_chosen = (standard.needs)().is_ok() && !(in_vm() && shapes.contains(&shape));
        if is_chosen {
            shapes.push(shape);
        }
        is_chosen
    })
}

fn every_tool_does_what_they_say() -> Result<()> {
    chosen().try_for_each(|standard| does_what_they_say(standard).context(standard.tool))
}

/// A filter by cgroup, a time for each row, no header, a file, a small buffer, readiness, words on stderr, and
/// of two expectations the one that is not met; beside that, a row that is forbidden.
fn does_what_they_say(standard: &Standard) -> Result<()> {
    let scratch = Scratch::new()?;
    let (file, ready) = (scratch.file("rows"), scratch.file("ready"));
    let group = Cgroup::new("flags")?;
    let mut load = Load::start(standard.load)?;
    group.add(load.id)?;
    let always = always(column_of(standard)?);
    let never = format!("!({always})");
    let common = ["--cgroup", group.arg(), "-T=unix", "--no-header", "-o", &file, "-v", "--strict"];
    let more = ["--buffer", "256k", "--ready-file", &ready, "--filter", &always];
    let conditions = ["--forbid", &never, "--expect", &always, "--expect", &never];
    let before = sys::unix_time().as_secs_f64();
    let words = [&[standard.tool], standard.args, &common, &more, &conditions].concat();
    let tool = tracer(&words).start()?;
    ensure!(fs::exists(&ready)?, "it was ready, and {ready} is not there");
    let conditions = ["--json", "--forbid", &never, "--forbid", &always];
    let breaks = standard.start(&conditions, &standard.pids(&load.pid()))?;
    load.finish()?;
    let (output, breaks) = (tool.interrupt()?, breaks.interrupt()?);
    is_judged(&output, &format!("no row matched --expect {never}\n"))?;
    is_judged(&breaks, &format!("--forbid {always}: "))?;
    equal("rows up to the one that is forbidden", breaks.rows()?.len(), 1)?;
    ensure!(output.stdout.is_empty(), "rows where no rows should be: {output}");
    ensure!(output.stderr.lines().count() > 1, "-v says nothing: {output}");
    let text = fs::read_to_string(&file)?;
    let first = text.lines().find(|line| !line.is_empty()).context("no rows")?;
    let time: f64 =
        first.split_whitespace().next().and_then(|word| word.parse().ok()).context(first.to_owned())?;
    ensure!((before - 1.0..=before + 600.0).contains(&time), "the time of {first:?}, after {before}");
    match (standard.shape, standard.events) {
        // Where events are those of children, the workload may make some by its own end.
        (Shape::Snoop, Events::Exactly(events)) if !standard.of_children => {
            equal("rows", text.lines().count() as u64, events)
        }
        _ => Ok(()),
    }
}

/// It failed for what its rows were, and says so.
fn is_judged(output: &Output, told: &str) -> Result<()> {
    equal("exit code", output.code, 6).context(output.to_string())?;
    ensure!(output.stderr.contains(told), "not told: {told}: {output}");
    Ok(())
}
