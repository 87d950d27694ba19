//! memgrow counts by [`crate::stack::Key`].
