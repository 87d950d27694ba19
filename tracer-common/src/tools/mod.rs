//! One file a tool: its events, keys and values.

pub mod execsnoop;
pub mod opensnoop;
pub mod tcpconnect;
pub mod tcplife;
