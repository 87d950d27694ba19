//! What is promised, as ratios of what was measured in the same run.

use crate::{
    contender::{BPFTRACE, LIBBPF, TRACER},
    measure::{cost, memory, scale, startup, throughput},
    report::Results,
};

/// The parts that `--quick` measures.
pub const GUARDED: [&str; 2] = ["cost", "memory"];

/// A promise.
struct Target {
    name: &'static str,
    /// Not more than this.
    bound: f64,
    /// What guards against regressions is more generous, and asks no peer.
    guard: Option<f64>,
    unit: &'static str,
    value: fn(&Results) -> Option<f64>,
}

/// What became of it.
#[derive(Debug)]
pub struct Verdict {
    pub name: &'static str,
    pub bound: f64,
    unit: &'static str,
    pub got: Option<f64>,
    /// `None` if it could not be measured.
    pub met: Option<bool>,
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "unknown",
        }
    }

    pub fn got(&self) -> String {
        self.got.map_or("not measured".to_owned(), |got| format!("{got:.2}{}", self.unit))
    }

    pub fn bound(&self) -> String {
        format!("at most {}{}", self.bound, self.unit)
    }
}

const TARGETS: &[Target] = &[
    Target {
        name: "opensnoop's first event after exec, against libbpf-tools'",
        bound: 1.,
        guard: None,
        unit: "",
        value: |r| first(r, "tracer opensnoop", "libbpf-tools opensnoop"),
    },
    Target {
        name: "execsnoop's first event after exec, against libbpf-tools'",
        bound: 1.,
        guard: None,
        unit: "",
        value: |r| first(r, "tracer execsnoop", "libbpf-tools execsnoop"),
    },
    Target {
        name: "peak memory of opensnoop, idle",
        bound: 25.,
        guard: Some(25.),
        unit: " MB",
        value: |r| r.median(memory::IDLE_TITLE, "tracer opensnoop", memory::PEAK),
    },
    Target {
        name: "peak memory of execsnoop, idle",
        bound: 25.,
        guard: Some(25.),
        unit: " MB",
        value: |r| r.median(memory::IDLE_TITLE, "tracer execsnoop", memory::PEAK),
    },
    Target {
        name: "time added to an open, against libbpf-tools' opensnoop",
        bound: 0.25,
        guard: None,
        unit: "",
        value: |r| added(r, cost::OPENS_TITLE, LIBBPF),
    },
    Target {
        name: "time added to an open, against bpftrace's printf",
        bound: 0.7,
        guard: None,
        unit: "",
        value: |r| added(r, cost::OPENS_TITLE, BPFTRACE),
    },
    Target {
        name: "time added to an open, against the floor",
        bound: 1.3,
        guard: Some(2.),
        unit: "",
        value: |r| added(r, cost::OPENS_TITLE, "floor: path and result"),
    },
    Target {
        name: "opens neither shown nor said to be lost, at any rate, into a file or a pipe",
        bound: 0.,
        guard: None,
        unit: "",
        value: |r| worst(r, throughput::UNACCOUNTED),
    },
    Target {
        name: "opens not shown at 1 million in a tight loop into a file, of a million",
        bound: 0.,
        guard: Some(0.),
        unit: "",
        value: |r| r.median(cost::OPENS_TITLE, TRACER, cost::LOST),
    },
    Target {
        name: "opens not shown, at any rate, into a file or a pipe",
        bound: 0.,
        guard: None,
        unit: "",
        value: |r| worst(r, throughput::NOT_SHOWN),
    },
    Target {
        name: "opensnoop's own CPU for a row of a table into a file",
        bound: 1000.,
        guard: Some(2500.),
        unit: " ns",
        value: |r| r.median(cost::OPENS_TITLE, TRACER, cost::CPU),
    },
    Target {
        name: "time added to a fork and exec, against libbpf-tools' execsnoop",
        bound: 0.3,
        guard: None,
        unit: "",
        value: |r| added(r, cost::EXECS_TITLE, LIBBPF),
    },
    Target {
        name: "execs not shown, of a million",
        bound: 0.,
        guard: Some(0.),
        unit: "",
        value: |r| r.median(cost::EXECS_TITLE, TRACER, cost::LOST),
    },
    Target {
        name: "time syscount adds to a getppid, against libbpf-tools'",
        bound: 0.75,
        guard: None,
        unit: "",
        value: |r| added(r, cost::CALLS_TITLE, LIBBPF),
    },
    Target {
        name: "time syscount adds to a getppid, against the floor",
        bound: 1.5,
        guard: Some(2.),
        unit: "",
        value: |r| added(r, cost::CALLS_TITLE, "floor: counter by number"),
    },
    Target {
        name: "time runqlat adds to a switch, against libbpf-tools'",
        bound: 0.65,
        guard: None,
        unit: "",
        value: |r| added(r, cost::SWITCHES_TITLE, LIBBPF),
    },
    Target {
        name: "time offcputime adds to a switch, against libbpf-tools'",
        bound: 0.65,
        guard: None,
        unit: "",
        value: |r| added(r, cost::STACK_SWITCHES_TITLE, LIBBPF),
    },
    Target {
        name: "offcputime's end after Ctrl-C, with 10,000 distinct stacks of 30 frames",
        bound: 3.,
        guard: None,
        unit: " s",
        value: |r| r.median(&scale::stacks_title(scale::MANY_STACKS), TRACER, scale::TO_END),
    },
    Target {
        name: "peak memory of offcputime, with 10,000 distinct stacks of 30 frames",
        bound: 300.,
        guard: None,
        unit: " MB",
        value: |r| r.median(&scale::stacks_title(scale::MANY_STACKS), TRACER, memory::PEAK),
    },
    Target {
        name: "kernel memory of the hungriest idle tool, without its ring buffer",
        bound: 2.,
        guard: Some(5.),
        unit: " MB",
        value: hungriest,
    },
];

/// What became of each promise; with `guard`, of those that guard against regressions.
pub fn judge(results: &Results, guard: bool) -> Vec<Verdict> {
    let chosen = TARGETS.iter().filter_map(|target| {
        let bound = if guard { target.guard? } else { target.bound };
        let got = (target.value)(results);
        let met = got.map(|got| got <= bound);
        Some(Verdict { name: target.name, bound, unit: target.unit, got, met })
    });
    chosen.collect()
}

fn first(results: &Results, ours: &str, theirs: &str) -> Option<f64> {
    let of = |who| results.median(startup::TITLE, who, startup::FIRST);
    Some(of(ours)? / of(theirs)?)
}

fn added(results: &Results, title: &str, other: &str) -> Option<f64> {
    let of = |who| results.median(title, who, cost::ADDED);
    Some(of(TRACER)? / of(other)?)
}

/// The most of a measure over all rates and sinks.
fn worst(results: &Results, measure: &str) -> Option<f64> {
    let of = |(rate, sink)| results.median(&throughput::title(rate, sink), TRACER, measure);
    throughput::all().map(of).try_fold(0_f64, |worst, value| Some(worst.max(value?.abs())))
}

fn hungriest(results: &Results) -> Option<f64> {
    let table = results.tables.iter().find(|table| table.title == memory::IDLE_TITLE)?;
    let ours = table.lines.iter().filter(|line| line.contender.starts_with(TRACER));
    let memory = ours.filter_map(|line| results.median(memory::IDLE_TITLE, &line.contender, memory::KERNEL));
    memory.fold(None, |most, value| Some(most.unwrap_or(0_f64).max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::{Line, Table},
        stats::Sample,
    };

    fn results(ours: f64, theirs: f64) -> Results {
        let line = |contender: &str, value: f64| Line {
            contender: contender.to_owned(),
            samples: vec![(cost::ADDED, Sample::of(&[value]).unwrap())],
            note: None,
        };
        let lines = vec![line(TRACER, ours), line(LIBBPF, theirs)];
        Results { tables: vec![Table { title: cost::OPENS_TITLE.to_owned(), lines }] }
    }

    #[test]
    fn a_target_is_met_or_not() {
        let met = |ours, theirs| {
            let verdicts = judge(&results(ours, theirs), false);
            verdicts.iter().find(|verdict| verdict.name.contains("libbpf-tools' opensnoop")).unwrap().met
        };
        assert_eq!(met(600., 3300.), Some(true));
        assert_eq!(met(1200., 3300.), Some(false), "twice as slow");
    }

    #[test]
    fn what_was_not_measured_is_unknown() {
        assert!(judge(&Results::default(), false).iter().all(|verdict| verdict.met.is_none()));
    }
}
