//! One file a tool: its events, keys and values.

pub mod opensnoop;
