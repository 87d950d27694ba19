//! fsdist's keys: the operation by its place in this list, and the type of the file system.

pub use crate::file_io::OPERATIONS;
