//! The disks of this machine.

use std::fs;

use crate::error::Failure;

const SYSFS: &str = "/sys/block";

/// The kernel's name of a disk, whose partitions are part of it.
///
/// # Errors
/// [`Failure::Usage`] if there is none, with those there are.
pub fn find(name: &str) -> Result<String, Failure> {
    // The kernel's names may hold slashes, those in sysfs do not.
    let file = name.strip_prefix("/dev/").unwrap_or(name).replace('/', "!");
    let mut names = names();
    if names.contains(&file) {
        return Ok(file.replace('!', "/"));
    }
    names.retain(|name| has_size(name));
    names.sort();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(Failure::Usage(format!("there is no disk {name:?}; the disks are: {names}")))
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(SYSFS).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether there is something in the drive.
fn has_size(name: &str) -> bool {
    fs::read_to_string(format!("{SYSFS}/{name}/size")).is_ok_and(|size| size.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_disk_is_a_usage_error() {
        for name in ["", "..", "no-such-disk", "/dev/no/such/disk"] {
            assert!(matches!(find(name), Err(Failure::Usage(_))), "{name}");
        }
    }

    #[test]
    fn every_disk_is_found_by_its_name_and_its_device() {
        for name in names() {
            assert!(find(&name).is_ok());
            assert!(find(&format!("/dev/{name}")).is_ok());
        }
    }
}
