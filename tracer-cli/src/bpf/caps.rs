//! What this process may do: capabilities, lockdown, limits.

use std::fs;

use crate::error::Failure;

const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The effective capabilities, as the kernel's bit set.
#[must_use]
pub fn effective() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    value.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

const fn has(set: u64, capability: u32) -> bool {
    set & (1 << capability) != 0
}

/// The mode of kernel lockdown that is in force; `None` where the kernel has no lockdown.
#[must_use]
pub fn lockdown() -> Option<String> {
    let modes = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    Some(modes.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// Whether this process has the capabilities that tracing needs.
#[must_use]
pub fn permitted() -> bool {
    let set = effective();
    has(set, CAP_SYS_ADMIN) || (has(set, CAP_BPF) && has(set, CAP_PERFMON))
}

/// Checks that the kernel will let this process trace, before anything is loaded.
///
/// # Errors
/// [`Failure::NotPermitted`], saying what is missing.
pub fn check() -> Result<(), Failure> {
    if !permitted() {
        return Err(Failure::NotPermitted(
            "tracing needs root, or CAP_BPF and CAP_PERFMON: try again with sudo".to_owned(),
        ));
    }
    if lockdown().as_deref() == Some("confidentiality") {
        return Err(Failure::NotPermitted(
            "kernel lockdown is in confidentiality mode, which forbids tracing: boot without it".to_owned(),
        ));
    }
    Ok(())
}

/// The limit on locked memory, in bytes.
#[must_use]
pub fn memlock() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: limit is valid for the call.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    limit.rlim_cur
}

/// Lifts the limit on locked memory, to which kernels before 5.11 charge maps. Where that is
/// refused, maps may still fit.
pub fn raise_memlock() -> bool {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: limit is valid for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) == 0 }
}
