//! How the kernel uses its memory.

use std::fs;

/// A line of /proc/meminfo, such as `Cached`, in kB.
#[must_use]
pub fn kilobytes(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_whole_name() {
        assert!(kilobytes("MemTotal").is_some_and(|total| total > 0));
        assert_eq!(kilobytes("Mem"), None);
    }
}
