//! Histograms of what threads do: one of all, or for each process, thread, CPU or pid namespace.

use tracer_common::{
    dist::{Key, by_task as by},
    record::until_nul,
};

use super::{
    common::Interval,
    dist::{self, Dist, Label},
    interval::Rhythm,
    plan::Plan,
};

/// The flags of tools with such histograms.
#[derive(clap::Args)]
pub struct TaskDistFlags {
    #[command(flatten)]
    by: By,
    /// Count milliseconds, not microseconds
    #[arg(short, long)]
    milliseconds: bool,
    #[command(flatten)]
    interval: Interval,
}

#[derive(clap::Args)]
#[group(multiple = false)]
struct By {
    /// A histogram for each process
    #[arg(short = 'P', long)]
    by_process: bool,
    /// A histogram for each thread
    #[arg(short = 'L', long)]
    by_thread: bool,
    /// A histogram for each CPU
    #[arg(long)]
    by_cpu: bool,
    /// A histogram for each pid namespace
    #[arg(long)]
    by_pidns: bool,
}

impl By {
    fn key(&self) -> u32 {
        let keys = [
            (self.by_process, by::PROCESS),
            (self.by_thread, by::THREAD),
            (self.by_cpu, by::CPU),
            (self.by_pidns, by::PIDNS),
        ];
        keys.iter().find(|(chosen, _)| *chosen).map_or(by::ALL, |(_, key)| *key)
    }
}

/// Prints such histograms.
pub struct TaskDist {
    key: u32,
    unit: &'static str,
    rhythm: Rhythm,
}

impl TaskDistFlags {
    /// Sets what the kernel side must know, and gives what prints its histograms.
    pub fn prepare(&self, plan: &mut Plan) -> TaskDist {
        let key = self.by.key();
        let (unit, ns) = if self.milliseconds { ("ms", 1_000_000) } else { ("us", 1000) };
        dist::plan(plan, key != by::ALL, ns);
        plan.set("BY_TASK", key);
        let rhythm = Rhythm { every: self.interval.interval, limit: self.interval.limit() };
        TaskDist { key, unit, rhythm }
    }
}

impl Dist for TaskDist {
    fn unit(&self) -> &'static str {
        self.unit
    }

    fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn labels(&mut self, key: &Key) -> Vec<(&'static str, Label)> {
        let id = Label::Number(key.id);
        let comm = || ("comm", Label::Text(until_nul(&key.name).to_vec()));
        match self.key {
            by::PROCESS => vec![("pid", id), comm()],
            by::THREAD => vec![("tid", id), comm()],
            by::CPU => vec![("cpu", id)],
            by::PIDNS => vec![("pidns", id)],
            _ => Vec::new(),
        }
    }
}
