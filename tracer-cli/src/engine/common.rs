//! The flags that mean the same in every tool.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use tracer_common::filter::MAX_IDS;

use super::{plan::Plan, view::View};
use crate::expr::Pushed;

/// Flags that every tool takes.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("processes").args(["pid", "command"]).multiple(true))]
pub struct Common {
    /// Processes to trace
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    pub pid: Vec<u32>,
    /// Threads to trace
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    pub tid: Vec<u32>,
    /// Users to trace, by name or number
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    pub uid: Vec<String>,
    /// Command names to trace; * and ? match any characters and any one
    #[arg(short = 'n', long, value_name = "NAME", value_delimiter = ',', help_heading = "Filters")]
    pub comm: Vec<String>,
    /// With --pid: descendants too
    #[arg(short, long, requires = "pid", help_heading = "Filters")]
    pub follow: bool,
    /// A cgroup v2 and all below it
    #[arg(long, value_name = "PATH", help_heading = "Filters")]
    pub cgroup: Option<PathBuf>,
    /// A container of docker, podman, containerd or CRI-O, by its name or the beginning of its id
    #[arg(long, value_name = "ID", conflicts_with = "cgroup", help_heading = "Filters")]
    pub container: Option<String>,

    /// Stop after this time (10s, 500ms, 2m, or seconds)
    #[arg(short, long, value_name = "TIME", value_parser = duration, help_heading = "Run")]
    pub duration: Option<Duration>,
    /// Ring buffer size (64k, 8m)
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "8m", help_heading = "Run")]
    pub buffer: u64,
    /// Exit with 5 if any event was lost
    #[arg(long, help_heading = "Run")]
    pub strict: bool,
    /// Write "ready" to this descriptor when everything is attached, and close it
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub ready_fd: Option<i32>,
    /// Create this file when everything is attached
    #[arg(long, value_name = "PATH", help_heading = "Run")]
    pub ready_file: Option<PathBuf>,
    /// Load and attach nothing, but say what would be
    #[arg(long, help_heading = "Run")]
    pub dry_run: bool,
    /// Kernel type information, for kernels that have none of their own
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub btf: Option<PathBuf>,
    /// Run the command as the user who called sudo
    #[arg(long, requires = "command", help_heading = "Run")]
    pub as_user: bool,
    /// When the command has ended, go on until its descendants have too; with --pid, end when those have ended
    #[arg(long, requires = "processes", help_heading = "Run")]
    pub wait: bool,
    /// Say less on stderr
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Run")]
    pub quiet: bool,
    /// Say more on stderr
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Run")]
    pub verbose: u8,

    #[command(flatten)]
    pub view: View,
    /// What the kernel's filters are told besides the flags.
    #[arg(skip)]
    pub pushed: Pushed,

    /// Run this command, trace it and its descendants, and end with it
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<std::ffi::OsString>,
}

impl Common {
    /// Has the kernel decide what it can of a condition on rows. Where a flag names processes, the
    /// kernel's set is theirs, and the rest is decided by the rows; so it is with users and names.
    pub fn push(&mut self, pushed: Pushed) {
        let Pushed { mut pids, mut tids, mut uids, mut comms, min_ns } = pushed;
        if !self.pid.is_empty() || !self.command.is_empty() || pids.len() > MAX_IDS as usize {
            pids.clear();
        }
        if !self.tid.is_empty() || tids.len() > MAX_IDS as usize {
            tids.clear();
        }
        if !self.uid.is_empty() || uids.len() > MAX_IDS as usize {
            uids.clear();
        }
        if !self.comm.is_empty() {
            comms.clear();
        }
        self.pushed = Pushed { pids, tids, uids, comms, min_ns };
    }

    /// Under `-v`, says what the kernel was told.
    pub fn say_pushed(&self, plan: &Plan) {
        let threshold = self.pushed.min_ns.filter(|_| plan.has_threshold);
        let threshold = threshold.map(|ns| format!("latency of {ns} ns or more"));
        let parts: Vec<String> = self.pushed.parts().chain(threshold).collect();
        if self.verbose > 0 && !parts.is_empty() {
            eprintln!("tracer: of --filter, the kernel decides: {}", parts.join("; "));
        }
    }

    /// What is traced, for people.
    #[must_use]
    pub fn target(&self) -> String {
        let ids = |what: &str, ids: &[u32]| {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            (!ids.is_empty()).then(|| format!("{what} {}", ids.join(", ")))
        };
        let names = |what: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
        };
        let command: Vec<String> =
            self.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let parts = [
            ids("pid", &self.pid),
            ids("tid", &self.tid),
            names("user", &self.uid),
            names("comm", &self.comm),
            self.cgroup.as_ref().map(|path| format!("cgroup {}", path.display())),
            self.container.as_ref().map(|container| format!("container {container}")),
            (!command.is_empty()).then(|| command.join(" ")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "all processes".to_owned() } else { parts.join(", ") }
    }
}

/// `-x`, in tools whose calls can fail.
#[derive(Args, Clone, Copy, Debug)]
pub struct Failed {
    /// Failed calls only
    #[arg(short = 'x', long, help_heading = "Filters")]
    pub failed: bool,
}

/// `--min`, in tools that show what takes long.
#[derive(Args, Clone, Copy, Debug)]
pub struct Threshold {
    /// Only what takes this long or longer (10ms, 500us, or milliseconds; 0: all)
    #[arg(long, value_name = "TIME", value_parser = threshold, help_heading = "Filters")]
    pub min: Option<Duration>,
}

impl Threshold {
    /// Sets a constant of the kernel programs to it, in nanoseconds: to what the user gives, or the
    /// filter asks for, or else to the tool's own choice.
    pub fn plan(self, plan: &mut Plan, name: &'static str, default: Duration) {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let asked = self.min.map(ns).max(plan.pushed_min_ns);
        plan.set(name, asked.unwrap_or(ns(default)));
        plan.has_threshold = true;
    }
}

/// `-c`, in tools that print a row an event.
#[derive(Args, Clone, Copy, Debug)]
pub struct Count {
    /// Stop after this many rows
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run")]
    pub count: Option<u64>,
}

/// `[INTERVAL [COUNT]]`, in tools that print summaries.
#[derive(Args, Clone, Copy, Debug)]
pub struct Interval {
    /// Print and start anew this often (10s, 500ms, or seconds)
    #[arg(value_name = "INTERVAL", value_parser = duration)]
    pub interval: Option<Duration>,
    /// Stop after this many intervals
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub intervals: Option<u64>,
    /// Stop after this many intervals, or rows
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run", conflicts_with = "intervals")]
    pub count: Option<u64>,
}

impl Interval {
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.intervals.or(self.count)
    }
}

/// `--rows` and `--sort`, in tools that print a sorted table.
#[derive(Args, Clone, Copy, Debug)]
pub struct MaxRows {
    /// Print at most this many rows an interval (0: all; default 20 in a table)
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub rows: Option<usize>,
    /// Sort by these columns, a minus for the largest first (-bytes,comm)
    #[arg(long, value_name = "LIST", allow_hyphen_values = true, value_parser = kept, help_heading = "Output")]
    pub sort: Option<&'static str>,
}

/// Keeps an argument as long as the process, so that flags that hold it are still plain copies.
fn kept(text: &str) -> Result<&'static str, std::convert::Infallible> {
    Ok(text.to_owned().leak())
}

/// Parses a time: `10s`, `500ms`, `1.5`, `2m`, `1h`.
///
/// # Errors
/// If it is none, or zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time is a number with us, ms, s, m or h".to_owned()),
    };
    let seconds =
        number.parse::<f64>().map_err(|_| "a time is a number with us, ms, s, m or h".to_owned())? * scale;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("a time must be above zero, and not for ever".to_owned()),
    }
}

/// Parses a time as [`duration`] does, but a plain number is milliseconds, and 0 is one too.
///
/// # Errors
/// If it is none.
pub fn threshold(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(0.0) => Ok(Duration::ZERO),
        Ok(_) => duration(&format!("{text}ms")),
        Err(_) => duration(text),
    }
}

/// Parses a size in bytes: `65536`, `64k`, `8m`, `1g`.
///
/// # Errors
/// If it is none, or zero.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let shift = match unit.to_ascii_lowercase().trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return Err("a size is a number with k, m or g".to_owned()),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)) {
        Some(bytes @ 1..=0x8000_0000) => Ok(bytes),
        _ => Err("a size is a number with k, m or g, at most 2g".to_owned()),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, milliseconds) in
            [("10s", 10_000), ("500ms", 500), ("2", 2000), ("1.5", 1500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "0", "-1", "10x", "1..2", "1e99", "nan", "99999999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn thresholds() {
        for (text, us) in [("0", 0), ("10", 10_000), ("0.5", 500), ("500us", 500), ("1s", 1_000_000)] {
            assert_eq!(threshold(text), Ok(Duration::from_micros(us)), "{text}");
        }
        for text in ["", "-1", "ms", "nan", "inf"] {
            assert!(threshold(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("4096", 4096), ("64k", 65536), ("8M", 8 << 20), ("1g", 1 << 30), ("16kb", 16384)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "k", "4x", "-1", "9999999999999999999999", "3g"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
