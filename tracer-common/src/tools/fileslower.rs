//! fileslower's records, which are those of all tools for slow calls on files.

pub use crate::file_io::{Event, call};
