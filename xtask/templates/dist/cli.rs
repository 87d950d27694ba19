//! @name@: how long after its fork a process executes a program.

use tracer_common::{dist::Key, record::until_nul};

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

/// Nanoseconds in a microsecond.
const US: u64 = 1000;

#[derive(clap::Args)]
pub struct @Name@ {
    /// A histogram for each process
    #[arg(short = 'P', long)]
    by_process: bool,
    #[command(flatten)]
    interval: Interval,
}

impl Tool for @Name@ {
    const ABOUT: About = About {
        name: "@name@",
        aliases: &[],
        domain: Domain::Processes,
        summary: "How long after its fork a process executes a program",
    };
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("task_newtask")], &[Hook::RawTp("task_newtask")]]);
        plan.hook(&[&[Hook::TpBtf("sched_process_exec")], &[Hook::RawTp("sched_process_exec")]]);
        dist::plan(plan, flags.by_process, US);
        Ok(Shape::Dist(Box::new(flags)))
    }
}

impl Dist for @Name@ {
    fn unit(&self) -> &'static str {
        "us"
    }

    fn rhythm(&self) -> Rhythm {
        Rhythm { every: self.interval.interval, limit: self.interval.limit() }
    }

    fn labels(&mut self, key: &Key) -> Vec<(&'static str, Label)> {
        if !self.by_process {
            return Vec::new();
        }
        vec![("pid", Label::Number(key.id)), ("comm", Label::Text(until_nul(&key.name).to_vec()))]
    }
}
