//! vfsstat: calls of the file systems' common layer.
#![no_std]
#![no_main]

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::tools::vfsstat::{CREATE, FSYNC, MKDIR, OPEN, OPERATIONS, READ, RMDIR, UNLINK, WRITE};
use tracer_ebpf::{filter, function};

/// Calls, by operation.
#[map]
static CALLS: PerCpuArray<[u64; OPERATIONS]> = PerCpuArray::with_max_entries(1, 0);

function!(vfs_read => count::<READ>);
function!(vfs_write => count::<WRITE>);
function!(vfs_fsync_range => count::<FSYNC>);
function!(vfs_open => count::<OPEN>);
function!(vfs_create => count::<CREATE>);
function!(vfs_unlink => count::<UNLINK>);
function!(vfs_mkdir => count::<MKDIR>);
function!(security_inode_rmdir => count::<RMDIR>);
function!(vfs_rmdir => count::<RMDIR>);

#[inline(always)]
fn count<const OPERATION: usize>() -> Option<()> {
    filter::current()?;
    let calls = CALLS.get_ptr_mut(0)?;
    // SAFETY: this CPU's own counters; an interrupt in between may cost one count at worst.
    unsafe { (*calls)[OPERATION] += 1 };
    Some(())
}

tracer_ebpf::object!();
