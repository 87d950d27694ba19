//! opensnoop: who opens which files.

use tracer_common::{
    record::until_nul,
    tools::opensnoop::{Event, NAMES_BASE, NAMES_CUT, NAMES_FILE},
};
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Count, Failed},
        snoop::Snoop,
    },
    output::{Column, Value},
    system::names,
    tool::{About, Domain, Shape, Tool},
};

pub struct Opensnoop {
    limit: Option<u64>,
    flags: String,
    mode: String,
    path: Vec<u8>,
}

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    failed: Failed,
    #[command(flatten)]
    count: Count,
    /// Print absolute paths: of what was opened, or of what a failed call meant
    #[arg(long)]
    full_path: bool,
}

impl Tool for Opensnoop {
    const ABOUT: About = About {
        name: "opensnoop",
        aliases: &[],
        domain: Domain::Files,
        summary: "Files opened: by whom, how, and with what result",
    };
    const STACK_OF: Option<&'static str> = Some("the call");
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(&[&[Hook::TpBtf("sys_exit")], &[Hook::RawTp("sys_exit")]]);
        plan.set("FAILED_ONLY", u32::from(flags.failed.failed));
        plan.set("FULL_PATH", u32::from(flags.full_path));
        let limit = flags.count.count;
        Ok(Shape::Snoop(Box::new(Self {
            limit,
            flags: String::new(),
            mode: String::new(),
            path: Vec::new(),
        })))
    }
}

impl Snoop for Opensnoop {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process"),
            Column::number("tid", 7, "thread").hidden(),
            Column::number("uid", 5, "real user id").hidden(),
            Column::text("comm", 15, "command name"),
            Column::number("fd", 4, "the new descriptor"),
            Column::number("errno", 5, "error number, 0 if the call succeeded").hidden(),
            Column::error("error", 8, "error name"),
            Column::text("flags", 25, "how it is opened"),
            Column::text("mode", 5, "permissions of a new file, in octal"),
            Column::text("path", 0, "path as the caller gave it, or absolute with --full-path"),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, text)) = Event::ref_from_prefix(record) else { return };
        let errno = event.ret.min(0).saturating_neg();
        self.flags.clear();
        write_flags(&mut self.flags, event.flags);
        self.mode.clear();
        let creates = event.flags & libc::O_CREAT as u32 != 0 || has(event.flags, libc::O_TMPFILE as u32);
        if creates {
            self.mode = format!("{:04o}", event.mode & 0o7777);
        }
        let has_path = absolute_path(&mut self.path, event, text);
        rows.push(
            event.header.ns,
            &[
                Value::Uint(event.header.pid.into()),
                Value::Uint(event.header.tid.into()),
                Value::Uint(event.header.uid.into()),
                Value::Text(event.header.comm()),
                if errno == 0 { Value::Int(event.ret.into()) } else { Value::Null },
                Value::Int(errno.into()),
                Value::Errno(errno),
                Value::Text(self.flags.as_bytes()),
                if creates { Value::Text(self.mode.as_bytes()) } else { Value::Null },
                if has_path { Value::Text(&self.path) } else { Value::Null },
            ],
        );
    }
}

/// Joins the names that the kernel side found with the caller's path; false if there is neither.
/// A path deeper than the names go begins with `...` instead of the root.
fn absolute_path(path: &mut Vec<u8>, event: &Event, text: &[u8]) -> bool {
    path.clear();
    let (given, names) = text.split_at(text.len().min(event.path_len.into()));
    let is = |kind| event.names & !NAMES_CUT == kind;
    if is(NAMES_FILE) || is(NAMES_BASE) {
        names::join(path, names, event.names & NAMES_CUT == 0);
        if path.is_empty() || is(NAMES_BASE) {
            path.push(b'/');
        }
    }
    if !is(NAMES_FILE) {
        path.extend_from_slice(until_nul(given));
    }
    event.path_len > 0 || is(NAMES_FILE)
}

/// Flags by their names. `O_SYNC` and `O_TMPFILE` contain the bits of others, so they come first.
const FLAGS: &[(i32, &str)] = &[
    (libc::O_SYNC, "O_SYNC"),
    (libc::O_TMPFILE, "O_TMPFILE"),
    (libc::O_CREAT, "O_CREAT"),
    (libc::O_EXCL, "O_EXCL"),
    (libc::O_NOCTTY, "O_NOCTTY"),
    (libc::O_TRUNC, "O_TRUNC"),
    (libc::O_APPEND, "O_APPEND"),
    (libc::O_NONBLOCK, "O_NONBLOCK"),
    (libc::O_DSYNC, "O_DSYNC"),
    (libc::O_ASYNC, "O_ASYNC"),
    (libc::O_DIRECT, "O_DIRECT"),
    (libc::O_LARGEFILE, "O_LARGEFILE"),
    (0o100_000, "O_LARGEFILE"),
    (libc::O_DIRECTORY, "O_DIRECTORY"),
    (libc::O_NOFOLLOW, "O_NOFOLLOW"),
    (libc::O_NOATIME, "O_NOATIME"),
    (libc::O_CLOEXEC, "O_CLOEXEC"),
    (libc::O_PATH, "O_PATH"),
];

const fn has(flags: u32, bits: u32) -> bool {
    bits != 0 && flags & bits == bits
}

fn write_flags(out: &mut String, flags: u32) {
    out.push_str(match flags as i32 & libc::O_ACCMODE {
        libc::O_RDONLY => "O_RDONLY",
        libc::O_WRONLY => "O_WRONLY",
        libc::O_RDWR => "O_RDWR",
        _ => "O_ACCMODE",
    });
    let mut rest = flags & !(libc::O_ACCMODE as u32);
    for &(bits, name) in FLAGS {
        if has(rest, bits as u32) {
            rest &= !(bits as u32);
            out.push('|');
            out.push_str(name);
        }
    }
    if rest != 0 {
        out.push_str(&format!("|{rest:#x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_their_names() {
        for (flags, expected) in [
            (0, "O_RDONLY"),
            (libc::O_RDWR | libc::O_CLOEXEC, "O_RDWR|O_CLOEXEC"),
            (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, "O_WRONLY|O_CREAT|O_TRUNC"),
            (libc::O_TMPFILE | libc::O_RDWR, "O_RDWR|O_TMPFILE"),
            (libc::O_DIRECTORY, "O_RDONLY|O_DIRECTORY"),
            (libc::O_SYNC, "O_RDONLY|O_SYNC"),
            (libc::O_DSYNC, "O_RDONLY|O_DSYNC"),
            (1 << 30, "O_RDONLY|0x40000000"),
        ] {
            let mut text = String::new();
            write_flags(&mut text, flags as u32);
            assert_eq!(text, expected);
        }
    }
}
