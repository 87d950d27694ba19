//! What the tools for system calls on files share.

use std::{fs, time::Duration};

use tracer_common::{
    file_io::{Event, FS_LEN, MAX_FS, NO_OFFSET, OPERATIONS, calls},
    record::until_nul,
};
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{Plan, Rows, snoop::Snoop},
    error::Failure,
    output::{Column, Value},
    system::names,
};

/// What is slow unless the user says otherwise, as BCC has it.
pub const DEFAULT_MIN: Duration = Duration::from_millis(10);

/// `--op`
#[derive(clap::Args, Clone, Debug)]
pub struct Operations {
    /// Operations to trace (read,fsync)
    #[arg(long = "op", value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    operations: Vec<String>,
}

impl Operations {
    /// Traces calls, of those that a tool offers, with the time they take.
    ///
    /// # Errors
    /// If it does not offer what the user wants.
    pub fn plan(&self, plan: &mut Plan, offered: &[&str]) -> Result<(), Failure> {
        if let Some(other) = self.operations.iter().find(|name| !offered.contains(&name.as_str())) {
            return Err(Failure::Usage(format!("--op: {other:?} is none of {}", offered.join(", "))));
        }
        trace_calls(plan, |name| {
            offered.contains(&name)
                && (self.operations.is_empty() || self.operations.iter().any(|wanted| wanted == name))
        });
        plan.hook(&[&[Hook::TpBtf("sys_enter")], &[Hook::RawTp("sys_enter")]]);
        plan.hook(&[&[Hook::TpBtf("sched_process_exit")], &[Hook::RawTp("sched_process_exit")]]);
        plan.entries_by_thread("CALLS_BEGUN");
        Ok(())
    }
}

/// Traces the calls of the wanted operations as they return.
pub fn trace_calls(plan: &mut Plan, wanted: impl Fn(&str) -> bool) {
    plan.hook(&[&[Hook::TpBtf("sys_exit")], &[Hook::RawTp("sys_exit")]]);
    plan.set("FILE_CALLS", calls(wanted));
}

/// `-a`
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct EveryType {
    /// Files of every type: pipes, sockets, devices too
    #[arg(short, long, help_heading = "Filters")]
    all: bool,
}

impl EveryType {
    pub fn plan(self, plan: &mut Plan) {
        plan.set("EVERY_TYPE", u32::from(self.all));
    }
}

/// `--fs`
#[derive(clap::Args, Clone, Debug)]
pub struct FileSystems {
    /// Types of file systems to trace (ext4,xfs)
    #[arg(long = "fs", value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    types: Vec<String>,
}

impl FileSystems {
    /// Traces these types, or those that the tool's alias means: `ext4` for ext4slower.
    ///
    /// # Errors
    /// If there is no such type.
    pub fn plan(&self, plan: &mut Plan, tool: &str) -> Result<(), Failure> {
        let types = if self.types.is_empty() { meant_by(&plan.called, tool) } else { self.types.clone() };
        if types.is_empty() {
            return Ok(());
        }
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !types.iter().any(|name| is_known(&known, name)) {
            return Err(Failure::Unsupported(format!(
                "this kernel has no file system {}, or its module is not loaded",
                types.join(", ")
            )));
        }
        if types.len() > MAX_FS as usize || types.iter().any(|name| name.len() >= FS_LEN) {
            return Err(Failure::Usage(format!("--fs: at most {MAX_FS} names of {} bytes", FS_LEN - 1)));
        }
        let padded = |name: &String| {
            let mut key = name.clone().into_bytes();
            key.resize(FS_LEN, 0);
            key
        };
        plan.set("SOME_FS", 1_u32);
        plan.fill("WANTED_FS", types.iter().map(padded).collect());
        Ok(())
    }
}

/// The types that an alias of a tool such as `fsslower` stands for; none, for the tool's own name.
fn meant_by(called: &str, tool: &str) -> Vec<String> {
    let kind = tool.trim_start_matches("fs");
    let types: &[&str] = match called.strip_suffix(kind) {
        Some("nfs") => &["nfs", "nfs4"],
        Some("fuse") => &["fuse", "fuseblk"],
        Some(name) if called != tool => &[name],
        _ => &[],
    };
    types.iter().map(|&name| name.to_owned()).collect()
}

/// Whether a type is in the kernel's list, whose lines end with the names.
fn is_known(list: &str, name: &str) -> bool {
    list.lines().any(|line| line.split_whitespace().next_back() == Some(name))
}

/// A row a slow call.
pub struct SlowFiles {
    limit: Option<u64>,
    by_thread: bool,
    file: Vec<u8>,
}

impl SlowFiles {
    #[must_use]
    pub const fn new(limit: Option<u64>, by_thread: bool) -> Self {
        Self { limit, by_thread, file: Vec::new() }
    }
}

impl Snoop for SlowFiles {
    fn columns(&self) -> Vec<Column> {
        let tid = Column::number("tid", 7, "thread");
        vec![
            Column::number("pid", 7, "process"),
            if self.by_thread { tid } else { tid.hidden() },
            Column::number("uid", 5, "real user id").hidden(),
            Column::text("comm", 15, "command name"),
            Column::text("fs", 8, "type of the file system"),
            Column::text("operation", 9, "what was done"),
            Column::number("bytes", 9, "bytes read, written or copied").unit("bytes"),
            Column::number("offset", 11, "where in the file it began").unit("bytes"),
            Column::number("latency_us", 11, "time the call took").unit("us"),
            Column::error("error", 8, "error name"),
            Column::text("file", 0, "the file's path"),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, text)) = Event::ref_from_prefix(record) else { return };
        let operation = OPERATIONS.get(event.header.kind as usize).copied().unwrap_or_default();
        let has_bytes = matches!(operation, "read" | "write" | "copy");
        names::write_file(&mut self.file, &event.names, text);
        rows.push(
            event.header.ns,
            &[
                Value::Uint(event.header.pid.into()),
                Value::Uint(event.header.tid.into()),
                Value::Uint(event.header.uid.into()),
                Value::Text(event.header.comm()),
                Value::Text(until_nul(&event.fs)),
                Value::Text(operation.as_bytes()),
                u64::try_from(event.ret).ok().filter(|_| has_bytes).map_or(Value::Null, Value::Uint),
                if event.offset == NO_OFFSET { Value::Null } else { Value::Uint(event.offset) },
                Value::Uint(event.latency_ns / 1000),
                Value::Errno(event.ret.min(0).saturating_neg() as i32),
                if self.file.is_empty() { Value::Null } else { Value::Text(&self.file) },
            ],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_mean_file_systems() {
        assert_eq!(meant_by("ext4slower", "fsslower"), ["ext4"]);
        assert_eq!(meant_by("nfsdist", "fsdist"), ["nfs", "nfs4"]);
        assert!(meant_by("fsslower", "fsslower").is_empty());
        assert!(meant_by("", "fsdist").is_empty());
    }

    #[test]
    fn the_kernels_list_of_file_systems() {
        let list = "nodev\tsysfs\nnodev\ttmpfs\n\text4\n";
        assert!(is_known(list, "ext4") && is_known(list, "tmpfs"));
        assert!(!is_known(list, "nodev") && !is_known(list, "ext"));
    }
}
