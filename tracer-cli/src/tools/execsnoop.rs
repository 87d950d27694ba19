//! execsnoop: new programs, with all their arguments.

use std::collections::HashMap;

use tracer_common::tools::execsnoop::{Event, KIND_MORE};
use zerocopy::FromBytes;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Count, Failed},
        snoop::Snoop,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

pub struct Execsnoop {
    limit: Option<u64>,
    max_args: usize,
    /// Execs of which records with more arguments are still to come, by thread.
    partial: HashMap<u32, (Event, Vec<u8>)>,
    line: Vec<u8>,
}

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    failed: Failed,
    #[command(flatten)]
    count: Count,
    /// Print only the first arguments of each
    #[arg(long, value_name = "N")]
    max_args: Option<usize>,
}

impl Tool for Execsnoop {
    const ABOUT: About = About {
        name: "execsnoop",
        aliases: &[],
        domain: Domain::Processes,
        summary: "Programs executed, with their arguments; failed execs with -x",
    };
    const STACK_OF: Option<&'static str> = Some("the call, in the program that makes it");
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        plan.hook(if flags.failed.failed {
            &[&[Hook::TpBtf("sys_exit")], &[Hook::RawTp("sys_exit")]]
        } else {
            &[&[Hook::TpBtf("sched_process_exec")], &[Hook::RawTp("sched_process_exec")]]
        });
        if plan.stacks && !flags.failed.failed {
            plan.hook(&[&[Hook::TpBtf("sys_enter")], &[Hook::RawTp("sys_enter")]]);
            plan.entries_by_thread("CALLERS");
        }
        Ok(Shape::Snoop(Box::new(Self {
            limit: flags.count.count,
            max_args: flags.max_args.unwrap_or(usize::MAX),
            partial: HashMap::new(),
            line: Vec::new(),
        })))
    }
}

impl Snoop for Execsnoop {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process"),
            Column::number("tid", 7, "thread").hidden(),
            Column::number("ppid", 7, "parent process"),
            Column::number("uid", 5, "real user id"),
            Column::text("comm", 15, "command name: the new program's, or the caller's if it failed"),
            Column::number("errno", 5, "error number, 0 if the call succeeded").hidden(),
            Column::error("error", 7, "error name"),
            Column::text("args", 0, "arguments, quoted as a shell would need it"),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, args)) = Event::read_from_prefix(record) else { return };
        if event.header.kind != KIND_MORE {
            if event.left == 0 {
                self.row(&event, args, event.cut != 0, rows);
            } else {
                self.partial.insert(event.header.tid, (event, args.to_vec()));
            }
        } else if let Some((first, mut all)) = self.partial.remove(&event.header.tid) {
            all.extend_from_slice(args);
            if event.left == 0 {
                self.row(&first, &all, event.cut != 0, rows);
            } else {
                self.partial.insert(event.header.tid, (first, all));
            }
        }
    }
}

impl Execsnoop {
    fn row(&mut self, event: &Event, args: &[u8], cut: bool, rows: &mut Rows<'_>) {
        let header = &event.header;
        let errno = -event.ret;
        self.line.clear();
        write_args(&mut self.line, args, self.max_args, cut);
        rows.push(
            header.ns,
            &[
                Value::Uint(header.pid.into()),
                Value::Uint(header.tid.into()),
                Value::Uint(event.ppid.into()),
                Value::Uint(header.uid.into()),
                Value::Text(header.comm()),
                Value::Int(errno.into()),
                Value::Errno(errno),
                Value::Text(&self.line),
            ],
        );
    }
}

/// Joins NUL-terminated arguments as a shell would read them; `...` stands for what is left out.
fn write_args(line: &mut Vec<u8>, args: &[u8], max: usize, cut: bool) {
    let mut all = args.strip_suffix(b"\0").unwrap_or(args).split(|&byte| byte == 0);
    if args.is_empty() {
        all.next();
    }
    for argument in all.by_ref().take(max) {
        if !line.is_empty() {
            line.push(b' ');
        }
        write_quoted(line, argument);
    }
    if cut || all.next().is_some() {
        line.extend_from_slice(if line.is_empty() { b"..." } else { b" ..." });
    }
}

/// Quotes an argument that a shell would not take as it stands; without backslashes, which tables escape.
fn write_quoted(line: &mut Vec<u8>, argument: &[u8]) {
    let is_plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"@%_+=:,./-".contains(byte);
    if !argument.is_empty() && argument.iter().all(is_plain) {
        line.extend_from_slice(argument);
        return;
    }
    line.push(b'\'');
    for (index, part) in argument.split(|&byte| byte == b'\'').enumerate() {
        if index > 0 {
            line.extend_from_slice(br#"'"'"'"#);
        }
        line.extend_from_slice(part);
    }
    line.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(args: &[u8], max: usize, cut: bool) -> String {
        let mut line = Vec::new();
        write_args(&mut line, args, max, cut);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn arguments_are_quoted_as_a_shell_needs_it() {
        for (args, expected) in [
            (&b"ls\0-l\0"[..], "ls -l"),
            (b"echo\0a b\0\0it's\0", r#"echo 'a b' '' 'it'"'"'s'"#),
            (b"sh\0-c\0a;b\0$x\0--y=1\0", "sh -c 'a;b' '$x' --y=1"),
            (b"x\0a\nb\0", "x 'a\nb'"),
            (b"", ""),
            (b"\0", "''"),
        ] {
            assert_eq!(joined(args, usize::MAX, false), expected);
        }
    }

    #[test]
    fn what_is_left_out_shows() {
        assert_eq!(joined(b"a\0b\0c\0", 2, false), "a b ...");
        assert_eq!(joined(b"a\0b\0", 2, false), "a b");
        assert_eq!(joined(b"a\0", 9, true), "a ...");
        assert_eq!(joined(b"", 9, true), "...");
        assert_eq!(joined(b"a\0", 0, false), "...");
    }
}
