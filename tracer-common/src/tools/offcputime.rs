//! offcputime counts by [`crate::stack::Key`].
