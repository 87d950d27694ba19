//! What @name@'s sides share: no more than all stacks do.
