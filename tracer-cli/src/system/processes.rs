//! Processes, from /proc.

use std::fs;

/// The parent of a process.
#[must_use]
pub fn parent(pid: u32) -> Option<u32> {
    stat(pid, 1)?.parse().ok()
}

/// Whether a process still runs: one that has ended, but whose parent has not asked for its status, does not.
#[must_use]
pub fn runs(pid: u32) -> bool {
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    // Of a process whose first thread has ended, others may run.
    stat(pid, 0).is_some_and(|state| !matches!(&*state, "Z" | "X") || threads() > 1)
}

/// A field of the `stat` file after the command name, which may itself hold blanks and parentheses.
fn stat(pid: u32, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(field).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_has_its_parent() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert!(runs(std::process::id()));
    }

    #[test]
    fn a_process_that_nobody_asked_for_has_ended() {
        let mut child = std::process::Command::new("/proc/self/exe")
            .arg("--list")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while runs(child.id()) {
            std::thread::yield_now();
        }
        assert!(child.wait().unwrap().success());
        assert!(!runs(child.id()));
    }
}
