//! profile counts by [`crate::stack::Key`].
