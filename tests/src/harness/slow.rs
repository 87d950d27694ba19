//! A file whose every read, write and sync takes a known time at least: a file system in user space (FUSE)
//! has it, and a disk over it is as slow.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    thread,
    time::Duration,
};

use super::{Context, Place, Result, by_machine, sys};

/// What the file's calls take at least.
pub fn delay() -> Duration {
    Duration::from_millis(by_machine(20, 100))
}

const NAME: &str = "slow";
const SIZE: u64 = 1 << 20;
const ROOT: u64 = 1;
const FILE: u64 = 2;

/// Mounts the file system in a mount namespace of this process's own, and opens its file. Another process
/// serves it as long as this one lives: one that waits for itself could not even be killed.
pub fn file(home: &Place) -> Result<File> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").context("no fuse")?;
    sys::own_mounts()?;
    fs::create_dir(home.path().join("fuse"))?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    sys::mount(c"slow", &home.text("fuse"), c"fuse", &sys::text(options)).context("mounting a fuse")?;
    sys::fork(move || {
        sys::end_with_parent();
        // It ends when nobody can ask any more.
        serve(device).map_or(1, |()| 0)
    })?;
    let path = home.path().join("fuse").join(NAME);
    let file = OpenOptions::new().read(true).write(true).open(&path).context("opening the slow file")?;
    super::equal("its size", file.metadata()?.size(), SIZE)?;
    Ok(file)
}

/// <linux/fuse.h>: the requests that are answered, and those that want no answer.
mod opcode {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const INTERRUPT: u32 = 36;
    pub const BATCH_FORGET: u32 = 42;
}

const HEADER: usize = 40;
const REPLY_HEADER: usize = 16;

/// Answers until the file system is gone.
fn serve(mut device: File) -> Result<()> {
    let mut request = vec![0; (1 << 20) + 4096];
    loop {
        let len = match device.read(&mut request) {
            Ok(len) => len,
            // Somebody gave up waiting before it was read.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => continue,
            Err(_) => return Ok(()),
        };
        let request = &request[..len];
        let opcode = u32_at(request, 4);
        if matches!(opcode, opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT) {
            continue;
        }
        let (error, body) = match answer(opcode, request) {
            Ok(body) => (0, body),
            Err(errno) => (-errno, Vec::new()),
        };
        let mut reply = ((REPLY_HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        reply.extend(error.to_ne_bytes());
        reply.extend(&request[8..16]);
        reply.extend(body);
        // One whose asker is gone cannot be answered.
        let _ = device.write(&reply);
    }
}

/// The body of the answer to a request, or an error's number.
fn answer(opcode: u32, request: &[u8]) -> Result<Vec<u8>, i32> {
    let node = u64_at(request, 16);
    let body = &request[HEADER..];
    match opcode {
        // Version 7.31; what the kernel may send at once; times to a nanosecond.
        opcode::INIT => Ok(words(&[7, 31, 0, 0, 0, 1 << 20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        opcode::LOOKUP if body.strip_suffix(b"\0") == Some(NAME.as_bytes()) => {
            Ok([&longs(&[FILE, 0, 0, 0, 0]), &attributes(FILE)[..]].concat())
        }
        opcode::LOOKUP => Err(libc::ENOENT),
        opcode::GETATTR => Ok([&longs(&[0, 0]), &attributes(node)[..]].concat()),
        // Every read and write is to come here at once, not by way of the page cache.
        opcode::OPEN => Ok([longs(&[0]), words(&[1, 0])].concat()),
        opcode::READ => {
            thread::sleep(delay());
            Ok(vec![0; u32_at(body, 16) as usize])
        }
        opcode::WRITE => {
            thread::sleep(delay());
            Ok(words(&[u32_at(body, 16), 0]))
        }
        opcode::FSYNC => {
            thread::sleep(delay());
            Ok(Vec::new())
        }
        opcode::RELEASE | opcode::FLUSH => Ok(Vec::new()),
        _ => Err(libc::ENOSYS),
    }
}

/// struct `fuse_attr` of the directory or the file.
fn attributes(node: u64) -> Vec<u8> {
    let (mode, size) = if node == ROOT { (libc::S_IFDIR | 0o755, 0) } else { (libc::S_IFREG | 0o600, SIZE) };
    [longs(&[node, size, size / 512, 0, 0, 0]), words(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0])].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_ne_bytes()).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes)
}
