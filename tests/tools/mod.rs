//! The list of tools: two lines a tool.

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

use crate::harness::Suite;

pub const SUITES: &[&Suite] = &[
    &biolatency::SUITE,
    &biosnoop::SUITE,
    &biostacks::SUITE,
    &biotop::SUITE,
    &cachestat::SUITE,
    &cpudist::SUITE,
    &execsnoop::SUITE,
    &exitsnoop::SUITE,
    &fileslower::SUITE,
    &filetop::SUITE,
    &fsdist::SUITE,
    &fsslower::SUITE,
    &gethostlatency::SUITE,
    &hardirqs::SUITE,
    &memgrow::SUITE,
    &memleak::SUITE,
    &offcputime::SUITE,
    &offwaketime::SUITE,
    &opensnoop::SUITE,
    &profile::SUITE,
    &runqlat::SUITE,
    &runqslower::SUITE,
    &softirqs::SUITE,
    &syscount::SUITE,
    &tcpaccept::SUITE,
    &tcpconnect::SUITE,
    &tcpconnlat::SUITE,
    &tcplife::SUITE,
    &tcpretrans::SUITE,
    &tcpstates::SUITE,
    &tcptop::SUITE,
    &vfsstat::SUITE,
    &wakeuptime::SUITE,
];
