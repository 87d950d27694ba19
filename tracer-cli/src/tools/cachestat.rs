//! cachestat: what reads, page faults and writes find in the page cache.

use std::time::Duration;

use tracer_common::{
    record::{Process, until_nul},
    tools::cachestat::Counts,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan, Rows,
        common::{Interval, MaxRows},
        interval::{Delta, Rhythm},
        top::Top,
    },
    output::{Column, Value},
    system::meminfo,
    tool::{About, Domain, Shape, Tool},
};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// Processes that there is room for at a time; idle ones make room for new ones.
const PROCESSES: u32 = 16384;

pub struct Cachestat {
    by_process: bool,
    rows: MaxRows,
    rhythm: Rhythm,
}

#[derive(clap::Args)]
pub struct Flags {
    /// Count by process, as cachetop does
    #[arg(short = 'P', long)]
    by_process: bool,
    #[command(flatten)]
    rows: MaxRows,
    #[command(flatten)]
    interval: Interval,
}

impl Tool for Cachestat {
    const ABOUT: About = About {
        name: "cachestat",
        aliases: &["cachetop"],
        domain: Domain::Files,
        summary: "Hits and misses of the page cache, in all or by process",
    };
    type Flags = Flags;

    fn prepare(flags: Flags, plan: &mut Plan) -> anyhow::Result<Shape> {
        let by_process = flags.by_process || plan.called == "cachetop";
        // The tracepoints of reads and faults came with 6.12. That of reads is silent on pages that are there if the
        // one behind them is still on its way: https://elixir.bootlin.com/linux/v6.12/source/mm/filemap.c#L2595
        plan.hook(&[
            &[Hook::Fexit("filemap_read"), Hook::Fexit("filemap_splice_read")],
            &[Hook::TpBtf("mm_filemap_get_pages")],
            &[Hook::RawTp("mm_filemap_get_pages")],
            &[Hook::Fexit("filemap_read")],
            &[Hook::Fexit("generic_file_buffered_read")],
        ]);
        plan.hook(&[
            &[Hook::TpBtf("mm_filemap_fault")],
            &[Hook::RawTp("mm_filemap_fault")],
            &[Hook::Fexit("filemap_fault")],
        ]);
        plan.hook(&[
            &[Hook::TpBtf("mm_filemap_add_to_page_cache")],
            &[Hook::RawTp("mm_filemap_add_to_page_cache")],
        ]);
        plan.hook(&[
            &[Hook::TpBtf("writeback_dirty_folio")],
            &[Hook::RawTp("writeback_dirty_folio")],
            &[Hook::TpBtf("writeback_dirty_page")],
            &[Hook::RawTp("writeback_dirty_page")],
        ]);
        plan.set("BY_PROCESS", u32::from(by_process));
        plan.entries("PROCESSES", if by_process { PROCESSES } else { 1 });
        let every = flags.interval.interval.unwrap_or(DEFAULT_INTERVAL);
        let rhythm = Rhythm { every: Some(every), limit: flags.interval.limit() };
        Ok(Shape::Top(Box::new(Self { by_process, rows: flags.rows, rhythm })))
    }
}

impl Top for Cachestat {
    fn columns(&self) -> Vec<Column> {
        let pages = |name, about| Column::number(name, 9, about);
        let mut columns = vec![
            pages("count", "pages that reads and page faults looked for").hidden(),
            pages("hits", "pages that were there"),
            pages("misses", "pages that had to be brought in, with those read ahead"),
            pages("dirties", "pages that became dirty"),
            pages("hit_pct", "hits among the pages looked for").unit("%"),
        ];
        if self.by_process {
            let process = [Column::number("pid", 7, "process"), Column::text("comm", 15, "command name")];
            columns.splice(0..0, process);
        } else {
            columns.push(Column::number("buffers_mb", 10, "cached of block devices, in all").unit("MiB"));
            columns.push(Column::number("cached_mb", 10, "cached of files, in all").unit("MiB"));
        }
        columns
    }

    fn map(&self) -> &'static str {
        if self.by_process { "PROCESSES" } else { "TOTAL" }
    }

    fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn max_rows(&self) -> MaxRows {
        self.rows
    }

    fn is_one_row(&self) -> bool {
        !self.by_process
    }

    /// The most pages looked for first; in all, one row, also where there was nothing.
    fn interval(&mut self, ns: u64, mut deltas: Vec<Delta>, max: usize, rows: &mut Rows<'_>) {
        if deltas.is_empty() && !self.by_process {
            let counters = vec![0; size_of::<Counts>() / 8];
            return self.row(ns, &Delta { counters, ..Delta::default() }, rows);
        }
        deltas.sort_by(|a, b| b.counters.cmp(&a.counters).then_with(|| a.key.cmp(&b.key)));
        deltas.iter().take(max).for_each(|delta| self.row(ns, delta, rows));
    }

    fn row(&mut self, ns: u64, delta: &Delta, rows: &mut Rows<'_>) {
        let Ok(counts) = Counts::read_from_bytes(delta.counters.as_bytes()) else { return };
        let hits = counts.wanted.saturating_sub(counts.misses);
        let percent = 100.0 * hits as f64 / counts.wanted as f64;
        let mut values = vec![
            Value::Uint(counts.wanted),
            Value::Uint(hits),
            Value::Uint(counts.misses),
            Value::Uint(counts.dirties),
            // Of nothing there is no share: not a number, which is shown as nothing.
            Value::Float(percent, 2),
        ];
        let process = Process::read_from_bytes(&delta.key);
        if !self.by_process {
            let mebibytes = |name| meminfo::kilobytes(name).map_or(Value::Null, |kb| Value::Uint(kb / 1024));
            values.extend(["Buffers", "Cached"].map(mebibytes));
        } else if let Ok(process) = &process {
            let process = [Value::Uint(process.pid.into()), Value::Text(until_nul(&process.comm))];
            values.splice(0..0, process);
        } else {
            return;
        }
        rows.push(ns, &values);
    }
}
