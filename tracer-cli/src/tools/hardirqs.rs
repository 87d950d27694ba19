//! hardirqs: the time that handlers of interrupts take.

use std::fs;

use tracer_common::{dist::Key, record::until_nul, tools::hardirqs::Handler};
use zerocopy::FromBytes;

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

/// A histogram's key has room for the beginning of a name: the rest is what the kernel tells of the
/// interrupt's handlers, if one of them begins like that.
fn whole_name(irq: u64, name: &[u8]) -> Vec<u8> {
    let known = fs::read(format!("/sys/kernel/irq/{irq}/actions")).unwrap_or_default();
    let mut known = known.trim_ascii_end().split(|&byte| byte == b',');
    known.find(|known| known.starts_with(name)).unwrap_or(name).to_vec()
}

pub struct Hardirqs;

impl Tool for Hardirqs {
    const ABOUT: About = About {
        name: "hardirqs",
        aliases: &[],
        domain: Domain::Cpu,
        summary: "Interrupts: how many, and the time their handlers take",
    };
    type Flags = SpanFlags;

    fn prepare(flags: SpanFlags, plan: &mut Plan) -> anyhow::Result<Shape> {
        let kind = Kind {
            begin: &[&[Hook::TpBtf("irq_handler_entry")], &[Hook::RawTp("irq_handler_entry")]],
            end: &[&[Hook::TpBtf("irq_handler_exit")], &[Hook::RawTp("irq_handler_exit")]],
            map: "HANDLERS",
            columns: vec![
                Column::number("irq", 5, "number of the interrupt"),
                Column::text("handler", 24, "what handles it"),
            ],
            names: |key| {
                let handler = Handler::read_from_bytes(key).ok()?;
                Some(vec![Label::Number(handler.irq.into()), Label::Text(until_nul(&handler.name).to_vec())])
            },
            histogram: |key| {
                let handler = Handler::read_from_bytes(key).ok()?;
                let mut name = *handler.name.first_chunk()?;
                // The kernel side cuts it off with a NUL.
                name[15] = 0;
                Some(Key { id: handler.irq.into(), name, ..Key::default() })
            },
            labels: |key| {
                let name = whole_name(key.id, until_nul(&key.name));
                vec![("irq", Label::Number(key.id)), ("handler", Label::Text(name))]
            },
        };
        Ok(flags.prepare(kind, plan))
    }
}
