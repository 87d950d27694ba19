//! biosnoop: block requests, whose they are, where they go and how long they take.

use std::time::Duration;

use tracer_common::{record::until_nul, tools::biosnoop::Event};
use zerocopy::FromBytes;

use crate::{
    engine::{
        Plan, Rows,
        block::{self, OneDisk},
        common::{Count, Failed, Threshold},
        snoop::Snoop,
    },
    output::{Column, Value},
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct Biosnoop {
    /// Show how long requests waited before they were given to the device
    #[arg(short = 'Q', long)]
    queued: bool,
    #[command(flatten)]
    disk: OneDisk,
    #[command(flatten)]
    min: Threshold,
    #[command(flatten)]
    failed: Failed,
    #[command(flatten)]
    count: Count,
}

impl Tool for Biosnoop {
    const ABOUT: About = About {
        name: "biosnoop",
        aliases: &[],
        domain: Domain::Block,
        summary: "Block I/O: whose it is, where it goes, how long it takes",
    };
    const STACK_OF: Option<&'static str> = Some("who submitted it");
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        block::plan(plan, flags.disk.clone(), true)?;
        flags.min.plan(plan, "MIN_NS", Duration::ZERO);
        plan.set("FAILED_ONLY", u32::from(flags.failed.failed));
        Ok(Shape::Snoop(Box::new(flags)))
    }
}

impl Snoop for Biosnoop {
    fn columns(&self) -> Vec<Column> {
        let queued = Column::number("queued_us", 9, "from its submission until the device got it").unit("us");
        vec![
            Column::number("pid", 7, "process that submitted it"),
            Column::number("tid", 7, "thread that submitted it").hidden(),
            Column::number("uid", 5, "real user id of that thread").hidden(),
            Column::text("comm", 15, "command name of that thread"),
            Column::text("disk", 9, "disk; none for a request to a controller"),
            Column::text("type", 7, "what it does: Read, Write, Flush, Discard, ..."),
            Column::text("flags", 0, "how it is to be done: Sync, Metadata, ReadAhead, ...").hidden(),
            Column::number("sector", 11, "where on the disk, in units of 512 bytes"),
            Column::number("bytes", 8, "its size").unit("bytes"),
            if self.queued { queued } else { queued.hidden() },
            Column::number("latency_us", 10, "from when the device got it until it was complete").unit("us"),
            Column::error("error", 9, "why it failed"),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.count.count
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        let Ok((event, _)) = Event::ref_from_prefix(record) else { return };
        let header = &event.header;
        let is_known = event.submitted_ns != 0;
        let known = |value| if is_known { value } else { Value::Null };
        let some = |text| if <[u8]>::is_empty(text) { Value::Null } else { Value::Text(text) };
        let flags = block::flags(event.kind).collect::<Vec<_>>().join("|");
        let queued_ns = event.issued_ns.saturating_sub(event.submitted_ns);
        rows.push(
            header.ns,
            &[
                known(Value::Uint(header.pid.into())),
                known(Value::Uint(header.tid.into())),
                known(Value::Uint(header.uid.into())),
                known(Value::Text(header.comm())),
                some(until_nul(&event.disk)),
                Value::Text(block::operation(event.kind).as_bytes()),
                some(flags.as_bytes()),
                Value::Uint(event.sector),
                Value::Uint(event.bytes.into()),
                known(Value::Uint(queued_ns / 1000)),
                Value::Uint(header.ns.saturating_sub(event.issued_ns) / 1000),
                Value::Errno(errno(event.error)),
            ],
        );
    }
}

/// The errno of what a request ended with. The kernel's own numbers, `BLK_STS_*`, are from 1 on.
fn errno(error: i32) -> i32 {
    /// From `BLK_STS_NOTSUPP` on; later ones are not the same in all kernels.
    const STATUS: [i32; 13] = [
        libc::EOPNOTSUPP,
        libc::ETIMEDOUT,
        libc::ENOSPC,
        libc::ENOLINK,
        libc::EREMOTEIO,
        libc::EBADE,
        libc::ENODATA,
        libc::EILSEQ,
        libc::ENOMEM,
        libc::EIO,
        libc::EREMCHG,
        libc::EAGAIN,
        libc::EBUSY,
    ];
    match usize::try_from(error) {
        Err(_) => error.saturating_neg(),
        Ok(0) => 0,
        Ok(status) => STATUS.get(status - 1).copied().unwrap_or(libc::EIO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_old_and_new_kernels_are_the_same() {
        let errnos = [0, -libc::EIO, 10, 3, 255].map(errno);
        assert_eq!(errnos, [0, libc::EIO, libc::EIO, libc::ENOSPC, libc::EIO]);
    }
}
