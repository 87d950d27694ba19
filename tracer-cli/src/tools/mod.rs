//! The one list of tools.

use crate::tool::Entry;

mod biolatency;
mod biosnoop;
mod biostacks;
mod biotop;
mod cachestat;
mod cpudist;
mod execsnoop;
mod exitsnoop;
mod fileslower;
mod filetop;
mod fsdist;
mod fsslower;
mod gethostlatency;
mod hardirqs;
mod memgrow;
mod memleak;
mod offcputime;
mod offwaketime;
mod opensnoop;
mod profile;
mod runqlat;
mod runqslower;
mod softirqs;
mod syscount;
mod tcpaccept;
mod tcpconnect;
mod tcpconnlat;
mod tcplife;
mod tcpretrans;
mod tcpstates;
mod tcptop;
mod vfsstat;
mod wakeuptime;

/// Every tool, by name.
#[rustfmt::skip]
pub const TOOLS: &[Entry] = &[
    Entry::of::<biolatency::Biolatency>(),
    Entry::of::<biosnoop::Biosnoop>(),
    Entry::of::<biostacks::Biostacks>(),
    Entry::of::<biotop::Biotop>(),
    Entry::of::<cachestat::Cachestat>(),
    Entry::of::<cpudist::Cpudist>(),
    Entry::of::<execsnoop::Execsnoop>(),
    Entry::of::<exitsnoop::Exitsnoop>(),
    Entry::of::<fileslower::Fileslower>(),
    Entry::of::<filetop::Filetop>(),
    Entry::of::<fsdist::Fsdist>(),
    Entry::of::<fsslower::Fsslower>(),
    Entry::of::<gethostlatency::Gethostlatency>(),
    Entry::of::<hardirqs::Hardirqs>(),
    Entry::of::<memgrow::Memgrow>(),
    Entry::of::<memleak::Memleak>(),
    Entry::of::<offcputime::Offcputime>(),
    Entry::of::<offwaketime::Offwaketime>(),
    Entry::of::<opensnoop::Opensnoop>(),
    Entry::of::<profile::Profile>(),
    Entry::of::<runqlat::Runqlat>(),
    Entry::of::<runqslower::Runqslower>(),
    Entry::of::<softirqs::Softirqs>(),
    Entry::of::<syscount::Syscount>(),
    Entry::of::<tcpaccept::Tcpaccept>(),
    Entry::of::<tcpconnect::Tcpconnect>(),
    Entry::of::<tcpconnlat::Tcpconnlat>(),
    Entry::of::<tcplife::Tcplife>(),
    Entry::of::<tcpretrans::Tcpretrans>(),
    Entry::of::<tcpstates::Tcpstates>(),
    Entry::of::<tcptop::Tcptop>(),
    Entry::of::<vfsstat::Vfsstat>(),
    Entry::of::<wakeuptime::Wakeuptime>(),
];

/// The tool with this name or alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    TOOLS.iter().find(|tool| tool.is_called(name))
}

/// The names and aliases of all tools.
pub fn names() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().flat_map(|tool| std::iter::once(&tool.about.name).chain(tool.about.aliases)).copied()
}
