//! The one list of tools.

use crate::tool::Entry;

mod execsnoop;
mod opensnoop;
mod tcpconnect;
mod tcplife;

/// Every tool, by name.
#[rustfmt::skip]
pub const TOOLS: &[Entry] = &[
    Entry::of::<execsnoop::Execsnoop>(),
    Entry::of::<opensnoop::Opensnoop>(),
    Entry::of::<tcpconnect::Tcpconnect>(),
    Entry::of::<tcplife::Tcplife>(),
];

/// The tool with this name or alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    TOOLS.iter().find(|tool| tool.is_called(name))
}
