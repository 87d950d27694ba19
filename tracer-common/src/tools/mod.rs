//! One file a tool: its events, keys and values.

pub mod biolatency;
pub mod biosnoop;
pub mod biotop;
pub mod cachestat;
pub mod cpudist;
pub mod execsnoop;
pub mod exitsnoop;
pub mod fileslower;
pub mod filetop;
pub mod fsdist;
pub mod fsslower;
pub mod gethostlatency;
pub mod hardirqs;
pub mod opensnoop;
pub mod runqlat;
pub mod runqslower;
pub mod softirqs;
pub mod syscount;
pub mod tcpaccept;
pub mod tcpconnect;
pub mod tcpconnlat;
pub mod tcplife;
pub mod tcpretrans;
pub mod tcpstates;
pub mod tcptop;
pub mod vfsstat;
