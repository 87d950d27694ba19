//! Disks that a test makes for itself.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
    thread,
    time::Duration,
};

use super::{Context, Gate, Result, json, sys};

pub const SIZE: u64 = 4 << 20;
pub const BLOCK: usize = 4096;

/// <linux/loop.h>
const LOOP_SET_FD: usize = 0x4c00;
const LOOP_SET_STATUS64: usize = 0x4c04;
const LOOP_CTL_GET_FREE: usize = 0x4c82;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// struct loop_info64, of which only the flags are set.
#[repr(C)]
struct LoopInfo {
    before: [u32; 13],
    flags: u32,
    after: [u32; 44],
}

/// A disk over memory, which is gone once nobody has it open.
pub struct Disk {
    pub name: String,
    pub file: File,
    backing: File,
}

/// Requests that the kernel has finished.
#[derive(Clone, Copy)]
pub struct Stat {
    pub reads: u64,
    pub writes: u64,
    pub flushes: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
}

fn ioctl(file: &File, request: usize, argument: usize) -> io::Result<usize> {
    sys::call(libc::SYS_ioctl, &[file.as_raw_fd() as usize, request, argument])
        .map_err(io::Error::from_raw_os_error)
}

impl Disk {
    pub fn new(size: u64, flags: i32) -> Result<Self> {
        let memory =
            sys::call(libc::SYS_memfd_create, &[c"disk".as_ptr() as usize, libc::MFD_ALLOW_SEALING as usize]);
        let backing = File::from(sys::own(memory)?);
        backing.set_len(size)?;
        Self::over(backing, flags)
    }

    /// With what xtask kept of a file system: its size, and each block that is not empty after its place.
    pub fn with_blocks(file: &Path) -> Result<Self> {
        let content = fs::read(file)?;
        let (size, blocks) = content.split_first_chunk().context("no size")?;
        let disk = Self::new(u64::from_le_bytes(*size), 0)?;
        for block in blocks.chunks_exact(8 + BLOCK) {
            let (place, content) = block.split_first_chunk().context("no place")?;
            disk.backing.write_all_at(content, u64::from_le_bytes(*place))?;
        }
        Ok(disk)
    }

    /// Over a file, whatever the file is.
    pub fn over(backing: File, flags: i32) -> Result<Self> {
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control");
        let control = control.context("no loop devices")?;
        // Somebody else may take the free one first.
        let mut tries = 10;
        loop {
            let name = format!("loop{}", ioctl(&control, LOOP_CTL_GET_FREE, 0)?);
            let file =
                OpenOptions::new().read(true).write(true).custom_flags(flags).open(format!("/dev/{name}"))?;
            match ioctl(&file, LOOP_SET_FD, backing.as_raw_fd() as usize) {
                Ok(_) => {}
                Err(_) if tries > 0 => {
                    tries -= 1;
                    continue;
                }
                Err(error) => return Err(error).context("setting up a loop device"),
            }
            let info = LoopInfo { before: [0; 13], flags: LO_FLAGS_AUTOCLEAR, after: [0; 44] };
            ioctl(&file, LOOP_SET_STATUS64, (&raw const info) as usize)?;
            return Ok(Self { name, file, backing });
        }
    }

    /// Makes every write fail from now on.
    pub fn refuse_writes(&self) -> Result<()> {
        let args =
            [self.backing.as_raw_fd() as usize, libc::F_ADD_SEALS as usize, libc::F_SEAL_WRITE as usize];
        sys::call(libc::SYS_fcntl, &args).map_err(io::Error::from_raw_os_error)?;
        Ok(())
    }

    /// What the kernel has counted.
    ///
    /// It counts a flush that writes nothing as a write, though the disk sees none.
    pub fn stat(&self) -> Result<Stat> {
        // It counts a request a moment after it lets the waiting process go on.
        thread::sleep(Duration::from_millis(50));
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", self.name))?;
        let fields: Vec<u64> = stat.split_whitespace().flat_map(str::parse).collect();
        let (reads, writes, flushes) = (fields[0], fields[4], fields[15]);
        let (read_bytes, write_bytes) = (fields[2] * 512, fields[6] * 512);
        Ok(Stat { reads, writes: writes - flushes, flushes, read_bytes, write_bytes })
    }
}

/// A disk for a workload, which tells the test where there is none.
pub fn open(gate: &mut Gate, flags: i32) -> Result<Option<Disk>> {
    open_sized(gate, SIZE, flags)
}

/// A disk of this size.
pub fn open_sized(gate: &mut Gate, size: u64, flags: i32) -> Result<Option<Disk>> {
    match Disk::new(size, flags) {
        Ok(disk) => Ok(Some(disk)),
        Err(error) => {
            gate.wait(&json!({ "skip": format!("no block device: {error:#}") }))?;
            Ok(None)
        }
    }
}

/// A page's worth of memory at a page's start, as direct I/O wants it.
pub fn page() -> Result<&'static mut [u8]> {
    let prot = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let start = sys::call(libc::SYS_mmap, &[0, BLOCK, prot, flags, usize::MAX, 0])
        .map_err(io::Error::from_raw_os_error)?;
    // SAFETY: the mapping is this long, and nobody else has it or unmaps it.
    Ok(unsafe { std::slice::from_raw_parts_mut(start as *mut u8, BLOCK) })
}

/// Whether each of so many I/Os of a block is a write, and its offset: one in three is.
pub fn turns(times: u64) -> impl Iterator<Item = (bool, u64)> {
    (0..times).map(|index| (index % 3 == 0, index * 7 % (SIZE / BLOCK as u64) * BLOCK as u64))
}
