//! Events that a kernel keeps from BPF programs.
//!
//! Some kernels of Firecracker's microVMs run no BPF program while a thread of their init process is the current one,
//! and so tell none of packets and of disks' answers that come in an interrupt on top of it. ftrace has no such gap:
//! of 99 softirqs there it told all, BPF programs not one. So a count that falls short there may be the kernel's
//! doing, and here is how to know.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{sys, tracefs};

const PREFIX: &str = "tracer-tests-";

/// What the releases of such kernels have in them.
const FIRECRACKER: &str = "-fc-";

/// What scenarios count and interrupts do.
const EVENTS: &[&str] = &[
    "sock/inet_sock_set_state",
    "tcp/tcp_destroy_sock",
    "tcp/tcp_retransmit_skb",
    "tcp/tcp_retransmit_synack",
    "tcp/tcp_send_reset",
    "block/block_rq_issue",
    "block/block_rq_complete",
];

/// An instance of ftrace that tells of all [`EVENTS`] and on top of whom they came.
pub struct Hidden {
    instance: PathBuf,
}

impl Hidden {
    /// Begins to look; none where the kernel hides nothing, or ftrace can't.
    pub fn watch() -> Option<Self> {
        fs::read_to_string("/proc/sys/kernel/osrelease").ok()?.contains(FIRECRACKER).then_some(())?;
        remove_stale();
        let instance = instances().join(format!("{PREFIX}{}", sys::pid()));
        fs::create_dir(&instance).ok()?;
        let hidden = Self { instance };
        // By the process, not by its threads: those come and go.
        let settings = [("options/record-tgid", "1"), ("buffer_size_kb", "8192")];
        for (name, value) in settings {
            fs::write(hidden.instance.join(name), value).ok()?;
        }
        for event in hidden.events() {
            fs::write(event.join("enable"), "1").ok()?;
        }
        Some(hidden)
    }

    /// Forgets what was told.
    pub fn begin(&mut self) -> io::Result<()> {
        fs::write(self.instance.join("trace"), "")
    }

    /// How many events the kernel has told to ftrace alone.
    pub fn count(&self) -> usize {
        let trace = fs::read_to_string(self.instance.join("trace")).unwrap_or_default();
        trace.lines().filter(|line| is_on_top_of_init(line)).count()
    }

    /// Those that this kernel has.
    fn events(&self) -> Vec<PathBuf> {
        let paths = EVENTS.iter().map(|event| self.instance.join("events").join(event));
        paths.filter(|event| event.exists()).collect()
    }
}

/// Whether a line of ftrace's, `COMM-TID (TGID) [CPU] ...`, names the init process.
fn is_on_top_of_init(line: &str) -> bool {
    let tgid = line.split_once(" [").and_then(|(thread, _)| thread.rsplit_once('('));
    tgid.is_some_and(|(_, tgid)| tgid.trim_end_matches(')').trim() == "1")
}

fn instances() -> PathBuf {
    Path::new(tracefs::ROOT).join("instances")
}

/// Runs that were killed have left theirs.
fn remove_stale() {
    let entries = fs::read_dir(instances()).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.instance);
    }
}
