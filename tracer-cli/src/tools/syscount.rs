//! syscount: system calls, how many failed, and how long they took.

use std::{borrow::Cow, cell::OnceCell, rc::Rc};

use tracer_common::{
    record::{Process, until_nul},
    tools::syscount::{COMPAT, OTHER, SLOTS},
};
use zerocopy::FromBytes;

use crate::{
    bpf::{hook::Hook, object::Linked},
    engine::{
        Plan, Rows,
        common::{Failed, Interval, MaxRows},
        interval::{Delta, Rhythm},
        top::Top,
    },
    error::Failure,
    output::{Column, Value, errno},
    system::syscalls::Syscalls,
    tool::{About, Domain, Shape, Tool},
};

/// Processes that there is room for at a time; idle ones make room for new ones.
const PROCESSES: u32 = 16384;

/// The names, which only the setup can read.
type Names = Rc<OnceCell<Syscalls>>;

pub struct Syscount {
    by_process: bool,
    latency: bool,
    rows: MaxRows,
    rhythm: Rhythm,
    names: Names,
}

#[derive(clap::Args)]
pub struct Flags {
    /// Count by process, not by system call
    #[arg(short = 'P', long)]
    by_process: bool,
    /// Add the time spent in the calls
    #[arg(short = 'L', long)]
    latency: bool,
    /// System calls to count, by name
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    syscall: Vec<String>,
    /// Only calls that failed with this error (ENOENT, or 2)
    #[arg(short, long, value_name = "ERROR", value_parser = parse_errno, help_heading = "Filters")]
    errno: Option<i32>,
    #[command(flatten)]
    failed: Failed,
    #[command(flatten)]
    rows: MaxRows,
    #[command(flatten)]
    interval: Interval,
}

fn parse_errno(text: &str) -> Result<i32, &'static str> {
    errno::parse(text).ok_or("an error is a name such as ENOENT, or a number")
}

impl Tool for Syscount {
    const ABOUT: About = About {
        name: "syscount",
        aliases: &[],
        domain: Domain::Processes,
        summary: "System calls: how many, how many failed, how long they took",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sys_exit")], &[Hook::RawTp("sys_exit")]]);
        if flags.latency {
            plan.hook(&[&[Hook::TpBtf("sys_enter")], &[Hook::RawTp("sys_enter")]]);
            plan.hook(&[&[Hook::TpBtf("sched_process_exit")], &[Hook::RawTp("sched_process_exit")]]);
        }
        plan.set("BY_PROCESS", u32::from(flags.by_process));
        plan.set("LATENCY", u32::from(flags.latency));
        plan.set("FAILED_ONLY", u32::from(flags.failed.failed));
        plan.set("ERRNO", flags.errno.unwrap_or(0));
        plan.set("SOME_CALLS", u32::from(!flags.syscall.is_empty()));
        plan.entries("PROCESSES", if flags.by_process { PROCESSES } else { 1 });
        if flags.latency {
            plan.entries_by_thread("CALLS_BEGUN");
        }
        let names = Names::default();
        let tool = Self {
            by_process: flags.by_process,
            latency: flags.latency,
            rows: flags.rows,
            rhythm: Rhythm { every: flags.interval.interval, limit: flags.interval.limit() },
            names: Rc::clone(&names),
        };
        if !flags.by_process || !flags.syscall.is_empty() {
            plan.setup(move |kernel, object| {
                let read = Syscalls::read(kernel, object).unwrap_or_else(|error| {
                    eprintln!("tracer: system calls have numbers, not names: {error:#}");
                    Syscalls::default()
                });
                choose(object, names.get_or_init(|| read), &flags.syscall)
            });
        }
        Ok(Shape::Top(Box::new(tool)))
    }
}

/// Tells the kernel side which calls are wanted.
fn choose(object: &Linked, names: &Syscalls, wanted: &[String]) -> anyhow::Result<()> {
    for name in wanted {
        let slot = (0..SLOTS).find(|&slot| label(names, slot) == *name);
        let slot = slot.ok_or_else(|| Failure::Usage(format!("this kernel has no system call {name:?}")))?;
        if let Some(map) = object.map("WANTED") {
            map.insert(&slot.to_ne_bytes(), &[1])?;
        }
    }
    Ok(())
}

/// The name of what a slot counts. The calls of 32-bit programs have other numbers than the native
/// ones, and the kernel tells no names for them; but the numbers given since 5.1 are the same.
fn label(names: &Syscalls, slot: u32) -> Cow<'_, str> {
    const SAME_SINCE: u32 = 424;
    match slot {
        0..COMPAT => names.name(slot),
        OTHER.. => "other".into(),
        _ if slot - COMPAT >= SAME_SINCE => format!("compat_{}", names.name(slot - COMPAT)).into(),
        _ => format!("compat_{}", slot - COMPAT).into(),
    }
}

impl Top for Syscount {
    fn columns(&self) -> Vec<Column> {
        let mut columns = if self.by_process {
            vec![Column::number("pid", 7, "process"), Column::text("comm", 15, "command name")]
        } else {
            vec![Column::text("syscall", 22, "system call")]
        };
        columns.push(Column::number("count", 9, "calls that returned"));
        columns.push(Column::number("errors", 9, "calls that failed"));
        if self.latency {
            columns.push(Column::number("total_us", 12, "time spent in the calls").unit("us"));
            columns.push(Column::number("avg_us", 12, "time spent in a call, on average").unit("us"));
        }
        columns
    }

    fn map(&self) -> &'static str {
        if self.by_process { "PROCESSES" } else { "CALLS" }
    }

    fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn max_rows(&self) -> MaxRows {
        self.rows
    }

    /// The most calls first, or with latency those that took longest.
    fn interval(&mut self, ns: u64, mut deltas: Vec<Delta>, max: usize, rows: &mut Rows<'_>) {
        let order = if self.latency { 2 } else { 0 };
        deltas.sort_by(|a, b| b.counters[order].cmp(&a.counters[order]).then_with(|| a.key.cmp(&b.key)));
        deltas.iter().take(max).for_each(|delta| self.row(ns, delta, rows));
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let [count, errors, total_ns] = delta.counters[..] else { return };
        let names = self.names.get_or_init(Syscalls::default);
        let (process, name);
        let mut values = Vec::with_capacity(6);
        if self.by_process {
            let Ok(read) = Process::read_from_bytes(&delta.key) else { return };
            process = read;
            values.extend([Value::Uint(process.pid.into()), Value::Text(until_nul(&process.comm))]);
        } else {
            let Some(slot) = delta.key.first_chunk::<4>() else { return };
            name = label(names, u32::from_ne_bytes(*slot));
            values.push(Value::Text(name.as_bytes()));
        }
        values.extend([Value::Uint(count), Value::Uint(errors)]);
        if self.latency {
            let total_us = total_ns as f64 / 1e3;
            values.extend([Value::Float(total_us, 3), Value::Float(total_us / count as f64, 3)]);
        }
        rows.push(ns, &values);
    }
}
