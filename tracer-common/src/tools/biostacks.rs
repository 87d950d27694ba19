//! biostacks counts by [`crate::stack::Key`].
