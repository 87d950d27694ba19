//! softirqs: the time that soft interrupts take.

use tracer_common::dist::Key;

use crate::{
    bpf::hook::Hook,
    engine::{
        Plan,
        dist::Label,
        spans::{Kind, SpanFlags},
    },
    output::Column,
    tool::{About, Domain, Shape, Tool},
};

/// `enum` of `include/linux/interrupt.h`, whose order never changed.
const NAMES: [&str; 10] =
    ["hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu"];

pub struct Softirqs;

impl Tool for Softirqs {
    const ABOUT: About = About {
        name: "softirqs",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "Soft interrupts: how many, and the time they take",
    };
    type Flags = SpanFlags;

    fn prepare(flags: SpanFlags, plan: &mut Plan) -> anyhow::Result<Shape> {
        let kind = Kind {
            begin: &[&[Hook::TpBtf("softirq_entry")], &[Hook::RawTp("softirq_entry")]],
            end: &[&[Hook::TpBtf("softirq_exit")], &[Hook::RawTp("softirq_exit")]],
            map: "COUNTS",
            columns: vec![Column::text("softirq", 10, "which soft interrupt")],
            names: |key| Some(vec![name(u32::from_ne_bytes(*key.first_chunk()?).into())]),
            histogram: |key| {
                let vector = u32::from_ne_bytes(*key.first_chunk()?);
                Some(Key { id: vector.into(), ..Key::default() })
            },
            labels: |key| vec![("softirq", name(key.id))],
        };
        Ok(flags.prepare(kind, plan))
    }
}

fn name(vector: u64) -> Label {
    let known = usize::try_from(vector).ok().and_then(|vector| NAMES.get(vector));
    Label::Text(known.map_or_else(|| vector.to_string(), ToString::to_string).into_bytes())
}
