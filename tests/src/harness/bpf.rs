//! The kernel's list of BPF programs: a tool that has ended must have left none.

use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use super::{Result, deadline, sys};

/// bpf(2)'s commands.
pub const PROG_LOAD: u32 = 5;
const PROG_GET_NEXT_ID: usize = 11;
pub const RAW_TRACEPOINT_OPEN: u32 = 17;
pub const LINK_CREATE: u32 = 28;

/// The ids of all programs that are loaded.
pub fn programs() -> BTreeSet<u32> {
    /// The part of union bpf_attr that the command reads and writes.
    #[repr(C)]
    struct Attr {
        start_id: u32,
        next_id: u32,
        open_flags: u32,
    }
    let mut ids = BTreeSet::new();
    let mut attr = Attr { start_id: 0, next_id: 0, open_flags: 0 };
    let args = [PROG_GET_NEXT_ID, (&raw mut attr) as usize, size_of::<Attr>()];
    while sys::call(libc::SYS_bpf, &args).is_ok() {
        // SAFETY: the call has just written the field.
        let id = unsafe { (&raw const attr.next_id).read_volatile() };
        ids.insert(id);
        attr.start_id = id;
    }
    ids
}

/// Waits until no program is left but those before and those that somebody else holds, as another
/// tracer on the same machine may. The kernel frees programs some time after their last user.
pub fn left_since(before: &BTreeSet<u32>) -> Result<BTreeSet<u32>> {
    const PAUSE: Duration = Duration::from_millis(5);
    let until = deadline();
    loop {
        let new: BTreeSet<u32> = programs().difference(before).copied().collect();
        if new.is_empty() {
            return Ok(new);
        }
        let left: BTreeSet<u32> = new.difference(&held()).copied().collect();
        if left.is_empty() || Instant::now() > until {
            return Ok(left);
        }
        thread::sleep(PAUSE);
    }
}

/// The programs behind the descriptors of all processes.
fn held() -> BTreeSet<u32> {
    let entries = |path: &str| fs::read_dir(path).into_iter().flatten().flatten();
    entries("/proc")
        .filter(|process| process.file_name().to_string_lossy().parse::<u32>().is_ok())
        .flat_map(|process| entries(&format!("{}/fdinfo", process.path().display())))
        .filter_map(|info| fs::read_to_string(info.path()).ok())
        .filter_map(|info| {
            let line = info.lines().find_map(|line| line.strip_prefix("prog_id:"))?;
            line.trim().parse().ok()
        })
        .collect()
}

/// Waits until a process holds a program, as a tool that is attached does.
pub fn held_by(pid: u32) -> bool {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    infos.filter_map(|info| fs::read_to_string(info.path()).ok()).any(|info| info.contains("prog_id:"))
}
