//! vfsstat: how often the file systems' common layer is called.

use std::time::Duration;

use tracer_common::tools::vfsstat::OPERATIONS;

use crate::{
    bpf::hook::{Hook, Point},
    engine::{
        Plan, Rows,
        common::Interval,
        interval::{Delta, Rhythm},
        top::Top,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

macro_rules! functions {
    ($($name:literal),*) => {
        &[$(&[Hook::Fentry($name)], &[Hook::Kprobe($name)]),*]
    };
}

/// All are needed, so that a 0 is always a count. Modules such as overlayfs and nfsd call most of
/// these functions, so every kernel has them.
///
/// The compiler copies short functions into their callers, where no probe sees them: vfs_fsync,
/// which only calls vfs_fsync_range, into fsync(2), and on 5.10 the first part of vfs_rmdir, which
/// asks the security modules before it goes on to the file system, into rmdir(2).
const FUNCTIONS: [Point; OPERATIONS] = [
    functions!["vfs_read"],
    functions!["vfs_write"],
    functions!["vfs_fsync_range"],
    functions!["vfs_open"],
    functions!["vfs_create"],
    functions!["vfs_unlink"],
    functions!["vfs_mkdir"],
    functions!["security_inode_rmdir", "vfs_rmdir"],
];

pub struct Vfsstat {
    rhythm: Rhythm,
}

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    interval: Interval,
}

impl Tool for Vfsstat {
    const ABOUT: About = About {
        name: "vfsstat",
        aliases: &[],
        domain: Domain::Files,
        summary: "Calls of the file systems' common layer, by operation",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        FUNCTIONS.iter().for_each(|function| plan.hook(function));
        let every = flags.interval.interval.unwrap_or(DEFAULT_INTERVAL);
        let rhythm = Rhythm { every: Some(every), limit: flags.interval.limit() };
        Ok(Shape::Top(Box::new(Self { rhythm })))
    }
}

impl Top for Vfsstat {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("read", 9, "calls of vfs_read"),
            Column::number("write", 9, "calls of vfs_write"),
            Column::number("fsync", 9, "calls of vfs_fsync_range"),
            Column::number("open", 9, "calls of vfs_open"),
            Column::number("create", 9, "calls of vfs_create"),
            Column::number("unlink", 9, "calls of vfs_unlink"),
            Column::number("mkdir", 9, "calls of vfs_mkdir"),
            Column::number("rmdir", 9, "calls of vfs_rmdir that were allowed"),
        ]
    }

    fn map(&self) -> &'static str {
        "CALLS"
    }

    fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn is_one_row(&self) -> bool {
        true
    }

    /// One row, also where nothing was called.
    fn interval(&mut self, ns: u64, deltas: Vec<Delta>, _: usize, rows: &mut Rows<'_>) {
        let nothing = || Delta { counters: vec![0; OPERATIONS], ..Delta::default() };
        self.row(ns, &deltas.into_iter().next().unwrap_or_else(nothing), rows);
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let calls: Vec<Value<'_>> = delta.counters.iter().map(|&calls| Value::Uint(calls)).collect();
        rows.push(ns, &calls);
    }
}
