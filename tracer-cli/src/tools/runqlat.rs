//! runqlat: how long threads wait for a CPU.

use tracer_common::{
    dist::Key,
    record::until_nul,
    tools::runqlat::{ALL, BY_CPU, BY_PIDNS, BY_PROCESS, BY_THREAD},
};

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        common::Interval,
        dist::{self, Dist, Label},
        interval::Rhythm,
    },
    tool::{About, Domain, Shape, Tool},
};

pub struct Runqlat {
    key: u32,
    unit: &'static str,
    rhythm: Rhythm,
}

#[derive(clap::Args)]
pub struct Flags {
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
            (self.by_process, BY_PROCESS),
            (self.by_thread, BY_THREAD),
            (self.by_cpu, BY_CPU),
            (self.by_pidns, BY_PIDNS),
        ];
        keys.iter().find(|(chosen, _)| *chosen).map_or(ALL, |(_, key)| *key)
    }
}

impl Tool for Runqlat {
    const ABOUT: About = About {
        name: "runqlat",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "How long threads wait for a CPU, as a histogram",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sched_wakeup")], &[Hook::RawTp("sched_wakeup")]]);
        plan.hook(&[&[Hook::TpBtf("sched_wakeup_new")], &[Hook::RawTp("sched_wakeup_new")]]);
        plan.hook(&[&[Hook::TpBtf("sched_switch")], &[Hook::RawTp("sched_switch")]]);
        let key = flags.by.key();
        let (unit, ns) = if flags.milliseconds { ("ms", 1_000_000) } else { ("us", 1000) };
        dist::plan(plan, key != ALL, ns);
        plan.set("KEY", key);
        let rhythm = Rhythm { every: flags.interval.interval, limit: flags.interval.limit() };
        Ok(Shape::Dist(Box::new(Self { key, unit, rhythm })))
    }
}

impl Dist for Runqlat {
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
            BY_PROCESS => vec![("pid", id), comm()],
            BY_THREAD => vec![("tid", id), comm()],
            BY_CPU => vec![("cpu", id)],
            BY_PIDNS => vec![("pidns", id)],
            _ => Vec::new(),
        }
    }
}
