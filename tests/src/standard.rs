//! The checks that every tool must pass, whatever it traces.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use crate::harness::{
    Context, Load, Result, Run, Scratch, Tool, Value, bail, deadline, ensure, equal, load, patience, rows,
    sys, tracer,
};

/// What the standard checks need to know of a tool.
pub struct Standard {
    pub tool: &'static str,
    pub shape: Shape,
    /// Arguments for every run; they make the rows of an aggregating tool have a `pid`, if it can.
    pub args: &'static [&'static str],
    /// The JSON keys after `ts`, in order.
    pub keys: &'static [&'static str],
    /// The columns of the table.
    pub table: &'static [&'static str],
    /// A workload that runs as any user.
    pub load: &'static [&'static str],
    /// How many events the workload makes.
    pub events: Events,
    /// Whether the events are those of the workload's children.
    pub of_children: bool,
    /// Fails with [`crate::harness::skip`] where this kernel cannot run the tool.
    pub needs: fn() -> Result<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A row an event.
    Snoop,
    /// A row a key, with its `count`, or its `reads` and `writes`.
    Top,
    /// A row a key, with another number that adds up.
    TopBy(&'static str),
    /// A histogram a key.
    Dist,
    /// A row an interval, of counts.
    Interval,
    /// A row a stack, with its `count`, and a tree instead of the table.
    Stack,
}

#[derive(Clone, Copy)]
pub enum Events {
    Exactly(u64),
    /// The kernel adds some of its own accord.
    AtLeast(u64),
}

/// The tools that print a row an event, unless they are asked for a sorted summary.
const SUMMING_UP: &[&str] = &["tcpconnect", "tcpretrans", "tcpstates"];

/// The name of the check that only tools with a sorted table must pass.
const SORTS: &str = "sorts_by_a_column";

type Check = fn(&Standard) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("sees_only_the_process_asked_for", sees_only_pid),
    ("sees_only_the_names_asked_for", sees_only_comm),
    ("sees_only_the_user_asked_for", sees_only_user),
    ("prints_a_table", prints_a_table),
    ("prints_csv_and_tsv", prints_csv_and_tsv),
    (SORTS, sorts_by_a_column),
    ("runs_a_command", runs_a_command),
    ("ends_well_when_the_pipe_closes", ends_well_when_the_pipe_closes),
    ("stops_after_a_count", stops_after_a_count),
    ("stops_after_a_duration", stops_after_a_duration),
];

/// The checks of one tool, by name.
pub fn checks(standard: &'static Standard) -> impl Iterator<Item = (&'static str, Run)> {
    let sorts = standard.sorts().is_some();
    let checks = CHECKS.iter().filter(move |(name, _)| sorts || *name != SORTS);
    checks.map(move |&(name, check)| {
        let run = move || {
            (standard.needs)()?;
            check(standard)
        };
        (name, Box::new(run) as Run)
    })
}

/// What most tools need: nothing that a supported kernel lacks.
pub fn nothing() -> Result<()> {
    Ok(())
}

impl Standard {
    fn plan(&self) -> load::Plan {
        Load::plan(self.load)
    }

    /// The arguments that choose a process.
    pub fn pids(&self, pids: &str) -> Vec<String> {
        let follow = self.of_children.then_some("-f");
        ["-p", pids].into_iter().chain(follow).map(String::from).collect()
    }

    pub fn start(&self, more: &[&str], chosen: &[String]) -> Result<Tool> {
        tracer(&self.words(more, chosen)).start()
    }

    /// A command line; what is more comes last, where INTERVAL and COUNT stand.
    fn words(&self, more: &[&str], chosen: &[String]) -> Vec<String> {
        let own = [self.tool].into_iter().chain(self.args.iter().copied()).map(String::from);
        let more = more.iter().copied().map(String::from);
        own.chain(chosen.iter().cloned()).chain(more).collect()
    }

    /// Whether rows tell whose they are.
    fn has_pids(&self) -> bool {
        self.keys.contains(&"pid")
    }

    /// What makes the tool print a sorted table, if it can.
    pub fn sorts(&self) -> Option<&'static [&'static str]> {
        match self.shape {
            Shape::Top | Shape::TopBy(_) => Some(&[]),
            _ if SUMMING_UP.contains(&self.tool) => Some(&["--summary"]),
            _ => None,
        }
    }

    /// What `--list-columns` says of the columns that JSON has.
    fn columns(&self, more: &[&str]) -> Result<Vec<Value>> {
        let words = self.words(&[&["--list-columns", "--json"], more].concat(), &[]);
        let listed: Value = serde_json::from_str(tracer(&words).output()?.ok()?.text()?)?;
        let columns = listed["columns"].as_array().context("no columns")?;
        Ok(columns.iter().filter(|column| column["in_json"] == true).cloned().collect())
    }

    /// The events of a workload that rows show; all of them, if they do not tell whose they are.
    fn seen(&self, rows: &[Value], account: &Value) -> u64 {
        let own = pids_of(account);
        let of_load = |row: &&Value| !self.has_pids() || own.contains(&row["pid"]);
        let chosen: Vec<Value> = rows.iter().filter(of_load).cloned().collect();
        match self.shape {
            Shape::Snoop => chosen.len() as u64,
            Shape::Top if !self.keys.contains(&"count") => {
                rows::sum(&chosen, "reads") + rows::sum(&chosen, "writes")
            }
            Shape::Top | Shape::Dist | Shape::Stack => rows::sum(&chosen, "count"),
            Shape::TopBy(key) => rows::sum(&chosen, key),
            Shape::Interval => self.keys.iter().map(|key| rows::sum(&chosen, key)).sum(),
        }
    }

    fn expect_seen(&self, rows: &[Value], account: &Value) -> Result<()> {
        let seen = self.seen(rows, account);
        match self.events {
            Events::Exactly(events) => equal("events of the workload", seen, events),
            Events::AtLeast(events) => {
                ensure!(seen >= events, "expected {events} events of the workload, got {seen}");
                Ok(())
            }
        }
    }

    /// Runs both workloads beside the tool; it must see the first and not the second.
    fn expect_only(&self, mut first: Load, mut second: Load, chosen: &[String]) -> Result<Vec<Value>> {
        let tool = self.start(&["--json"], chosen)?;
        let other = second.finish()?;
        let account = first.finish()?;
        let rows = tool.interrupt()?.ok()?.rows()?;
        self.expect_seen(&rows, &account)?;
        if self.has_pids() {
            equal("events of the other workload", self.seen(&rows, &other), 0)?;
        }
        Ok(rows)
    }

    /// The fields of CSV and TSV.
    fn fields(&self) -> Vec<&str> {
        let keys = self.keys.iter().copied();
        match self.shape {
            Shape::Dist => {
                let key_fields = keys.take_while(|key| *key != "unit");
                ["ts"].into_iter().chain(key_fields).chain(["unit", "from", "to", "count"]).collect()
            }
            _ => ["ts"].into_iter().chain(keys).collect(),
        }
    }
}

/// The processes whose events an account is about.
fn pids_of(account: &Value) -> Vec<Value> {
    let children = account["pids"].as_array().cloned();
    children.unwrap_or_else(|| vec![account["pid"].clone()])
}

fn sees_only_pid(standard: &Standard) -> Result<()> {
    let (first, second) = (standard.plan().start()?, standard.plan().start()?);
    let chosen = standard.pids(&first.pid());
    let rows = standard.expect_only(first, second, &chosen)?;
    rows::have_keys(&rows, standard.keys)?;
    have_types(standard, &rows)?;
    match standard.shape {
        Shape::Dist => rows.iter().try_for_each(rows::is_histogram),
        _ => Ok(()),
    }
}

/// Rows are what `--list-columns` says of them.
fn have_types(standard: &Standard, rows: &[Value]) -> Result<()> {
    let columns = standard.columns(&[])?;
    let names: Vec<&str> = columns.iter().map(|column| rows::text(column, "name")).collect();
    // What a histogram is drawn with is nothing that is asked of it.
    let is_drawn = |key: &&str| standard.shape == Shape::Dist && ["unit", "buckets"].contains(key);
    let keys: Vec<&str> = standard.keys.iter().copied().filter(|key| !is_drawn(key)).collect();
    equal("columns", names, keys)?;
    for (row, column) in rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column))) {
        let value = &row[rows::text(column, "name")];
        let is_right = match rows::text(column, "type") {
            "number" => value.is_number(),
            "stack" => value.is_array(),
            "boolean" => value.is_boolean(),
            "address" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
            _ => value.is_string(),
        };
        ensure!(is_right || value.is_null(), "not as listed: {column} {value}");
    }
    Ok(())
}

fn sees_only_comm(standard: &Standard) -> Result<()> {
    let first = standard.plan().named("wanted-name").start()?;
    let second = standard.plan().named("another-name").start()?;
    let chosen = ["-n", "want*-n?me"].map(String::from);
    let rows = standard.expect_only(first, second, &chosen)?;
    for name in rows.iter().filter_map(|row| row.get("comm")) {
        equal("comm", name.as_str(), Some("wanted-name"))?;
    }
    Ok(())
}

fn sees_only_user(standard: &Standard) -> Result<()> {
    let first = standard.plan().user(load::NOBODY).start()?;
    let second = standard.plan().start()?;
    let chosen = ["-u".to_owned(), load::NOBODY.to_string()];
    standard.expect_only(first, second, &chosen).map(drop)
}

/// A name that would forge a row and colour the terminal, and is not UTF-8.
const HOSTILE: &[u8] = b"a\n1 b\x1b[31m\xc2\x9b\xff";
/// The same in a table.
const HARMLESS: &str = r"a\n1\x20b\x1b[31m\u{9b}\xff";

fn prints_a_table(standard: &Standard) -> Result<()> {
    let mut load = standard.plan().named(HOSTILE).start()?;
    let tool = standard.start(&[], &standard.pids(&load.pid()))?;
    // It sees its events only when their process is no more; but functions have names as long as it lives.
    let is_late = standard.shape != Shape::Stack;
    if is_late {
        tool.signal(libc::SIGSTOP)?;
    }
    let account = load.finish()?;
    if is_late {
        tool.signal(libc::SIGCONT)?;
    }
    let output = tool.interrupt()?.ok()?;
    rows::are_harmless(output.text()?, &['\n'])?;
    let lines = output.lines()?;
    if standard.shape == Shape::Dist {
        let has = |part: &str| lines.iter().any(|line| line.contains(part));
        ensure!(has("distribution") && has("*") && has("count="), "no histogram: {lines:?}");
        let is_named = !standard.keys.contains(&"comm") || has(&format!("comm = {HARMLESS}"));
        ensure!(is_named, "no command name: {lines:?}");
        return Ok(());
    }
    if standard.shape == Shape::Stack {
        let has = |part: &str| lines.iter().any(|line| line.ends_with(part));
        ensure!(has("  FUNCTION") && has("  all"), "no tree: {lines:?}");
        ensure!(has("  a\\n1 b\\x1b[31m\\u{9b}\\xff"), "no command name: {lines:?}");
        return Ok(());
    }
    let (header, lines) = lines.split_first().context("nothing was printed")?;
    let names: Vec<_> = header.split_whitespace().map(str::to_lowercase).collect();
    equal("header", names, standard.table)?;
    let cells: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
    for row in &cells {
        ensure!(row.len() >= standard.table.len(), "too few cells: {row:?}");
    }
    let Some(comm) = standard.table.iter().position(|name| *name == "comm") else {
        return Ok(());
    };
    let own: Vec<String> = pids_of(&account).iter().map(Value::to_string).collect();
    let own: Vec<_> = cells.iter().filter(|row| own.iter().any(|pid| pid == row[0])).collect();
    for row in &own {
        equal("comm", row[comm], HARMLESS)?;
    }
    match (standard.shape, standard.events) {
        (Shape::Snoop, Events::Exactly(events)) => equal("rows", own.len() as u64, events),
        _ => Ok(()),
    }
}

fn prints_csv_and_tsv(standard: &Standard) -> Result<()> {
    for format in ["csv", "tsv"] {
        let mut load = standard.plan().named("a,b\t\"c\"").start()?;
        let tool = standard.start(&["--format", format], &standard.pids(&load.pid()))?;
        load.finish()?;
        let output = tool.interrupt()?.ok()?;
        let text = output.text()?;
        let records = if format == "csv" { rows::csv(text)? } else { rows::tsv(text) };
        let (header, records) = records.split_first().context("nothing was printed")?;
        equal("fields", header.as_slice(), standard.fields())?;
        ensure!(!records.is_empty(), "no records");
        for record in records {
            equal(&format!("fields of {record:?}"), record.len(), header.len())?;
        }
        if let Some(comm) = header.iter().position(|field| field == "comm") {
            let is_named = |record: &Vec<String>| record[comm] == "a,b\\t\"c\"";
            ensure!(records.iter().any(is_named), "no comm is as it should be: {records:?}");
        }
    }
    Ok(())
}

/// The first column, the smallest first, and the last, the largest first, of which only the first rows are
/// printed; beside two processes.
fn sorts_by_a_column(standard: &Standard) -> Result<()> {
    const ROWS: usize = 2;
    let sorted = standard.sorts().context("it does not sort")?;
    let columns = standard.columns(sorted)?;
    let (Some(low), Some(high)) = (columns.first(), columns.last()) else { bail!("no columns") };
    let (low, high) = (rows::text(low, "name"), rows::text(high, "name"));
    let (mut first, mut second) = (standard.plan().start()?, standard.plan().start()?);
    let chosen = match standard.has_pids() {
        true => standard.pids(&format!("{},{}", first.pid(), second.pid())),
        false => Vec::new(),
    };
    let start = |args: &[&str]| standard.start(&[sorted, &["--json"], args].concat(), &chosen);
    let ascending = start(&["--rows", "0", "--sort", low])?;
    let descending = start(&["--rows", &ROWS.to_string(), "--sort", &format!("-{high}")])?;
    first.finish()?;
    second.finish()?;
    let rows = ascending.interrupt()?.ok()?.rows()?;
    let kinds: BTreeSet<String> = rows.iter().map(|row| row[low].to_string()).collect();
    // In a VM, one device alone may interrupt.
    let least = if standard.tool == "hardirqs" { 1 } else { ROWS };
    ensure!(kinds.len() >= least, "nothing to sort: {rows:?}");
    ensure!(rows.is_sorted_by(|a, b| is_in_order(&a[low], &b[low])), "not by {low}: {rows:?}");
    let rows = descending.interrupt()?.ok()?.rows()?;
    ensure!((least..=ROWS).contains(&rows.len()), "not the first {ROWS} rows: {rows:?}");
    ensure!(rows.is_sorted_by(|a, b| is_in_order(&b[high], &a[high])), "not by -{high}: {rows:?}");
    Ok(())
}

/// Whether a value is not the greater one; nothing is less than anything.
fn is_in_order(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a <= b,
        (None, Some(_)) => a.is_null(),
        (Some(_), None) => false,
        (None, None) => a.is_null() || a.as_str() <= b.as_str(),
    }
}

fn runs_a_command(standard: &Standard) -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("rows");
    let words = standard.words(&["--json", "-o", &file], &[]);
    let mut run = tracer(&words).arg("--").arg(load::this_program()?).arg(load::WORD);
    for word in standard.load {
        run = run.arg(word);
    }
    let output = run.env(load::STATUS_VARIABLE, "7").output()?;
    equal("exit code, which is the command's", output.code, 7).context(output.to_string())?;
    output.has_no_complaint()?;
    let account = output.lines()?.pop().context("the command's own stdout is gone")?.to_owned();
    let account: Value = serde_json::from_str(&account)?;
    let rows = rows::parse(&fs::read_to_string(file)?)?;
    let seen = standard.seen(&rows, &account);
    let (Events::Exactly(events) | Events::AtLeast(events)) = standard.events;
    // The command's own start and end can be events too.
    ensure!(seen >= events, "expected {events} events of the command, got {seen}");
    let bystanders = account["bystanders"].as_array().cloned().unwrap_or_default();
    let own = [pids_of(&account), vec![account["pid"].clone()], bystanders].concat();
    let is_others = |row: &&Value| standard.has_pids() && !own.contains(&row["pid"]);
    match rows.iter().find(is_others) {
        Some(row) => bail!("a row of another process: {row}"),
        None => Ok(()),
    }
}

fn ends_well_when_the_pipe_closes(standard: &Standard) -> Result<()> {
    let (mut first, mut second) = (standard.plan().start()?, standard.plan().start()?);
    let pids = format!("{},{}", first.pid(), second.pid());
    let interval: &[&str] = if standard.shape == Shape::Snoop { &[] } else { &["1"] };
    let words = standard.words(&[&["--json"], interval].concat(), &standard.pids(&pids));
    let mut tool = tracer(&words).held().start()?;
    first.finish()?;
    ensure!(tool.head()?.starts_with("{\"ts\":"), "the first line is no row");
    second.finish()?;
    tool.end()?.ok().map(drop)
}

fn stops_after_a_count(standard: &Standard) -> Result<()> {
    let mut load = standard.plan().start()?;
    let (count, more) = match standard.shape {
        Shape::Snoop => (Some(5), &["--json", "-c", "5"][..]),
        Shape::Interval => (Some(2), &["--json", "1", "2"][..]),
        Shape::Top | Shape::TopBy(_) | Shape::Dist | Shape::Stack => (None, &["--json", "1", "2"][..]),
    };
    let tool = standard.start(more, &standard.pids(&load.pid()))?;
    load.finish()?;
    let rows = tool.end()?.ok()?.rows()?;
    match count {
        Some(count) => equal("rows", rows.len(), count),
        None => Ok(()),
    }
}

fn stops_after_a_duration(standard: &Standard) -> Result<()> {
    const DURATION: Duration = Duration::from_millis(300);
    let start = Instant::now();
    let tool = standard.start(&["-d", "300ms"], &[])?;
    ensure!(sys::ended(tool.id(), deadline())?, "it does not end");
    let took = start.elapsed();
    tool.end()?.ok()?;
    ensure!((DURATION..patience()).contains(&took), "it took {took:?}");
    Ok(())
}
