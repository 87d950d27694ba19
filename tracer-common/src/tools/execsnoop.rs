//! execsnoop
