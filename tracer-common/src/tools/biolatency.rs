//! biolatency's keys are kinds of requests: see [`crate::block`].
