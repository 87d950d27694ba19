//! The kernel's tracefs, which the tests ask what tracer tells as well.

use std::path::Path;

use super::{Context, Result, sys};

/// Where it is mounted.
pub const ROOT: &str = "/sys/kernel/tracing";

/// Mounts it for this process and its descendants, where nobody has: it takes an init such as systemd to do so.
pub fn provide() -> Result<()> {
    if !sys::is_root() || Path::new(ROOT).join("events").exists() {
        return Ok(());
    }
    sys::own_mounts().context("a mount namespace of the tests' own")?;
    sys::mount(c"tracefs", &sys::text(ROOT), c"tracefs", c"").with_context(|| format!("tracefs on {ROOT}"))
}
