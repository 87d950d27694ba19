//! Memory mappings that are undone when dropped.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    ptr::{self, NonNull},
    slice,
};

/// A mapping of a file or a kernel object.
#[derive(Debug)]
pub struct Mapping {
    address: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes from `offset`, shared with the kernel, with `PROT_*` bits.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn shared(fd: impl AsFd, length: usize, offset: usize, protection: i32) -> io::Result<Self> {
        Self::new(fd, length, offset, protection, libc::MAP_SHARED)
    }

    /// Maps the first `length` bytes to read.
    ///
    /// # Errors
    /// If the file can't be mapped.
    pub fn private(fd: impl AsFd, length: usize) -> io::Result<Self> {
        Self::new(fd, length, 0, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_POPULATE)
    }

    fn new(fd: impl AsFd, length: usize, offset: usize, protection: i32, flags: i32) -> io::Result<Self> {
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: a fresh mapping, which overlaps nothing; the result is checked below.
        let address =
            unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, fd, offset as libc::off_t) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { address, length })
    }

    /// The mapping's first byte.
    #[must_use]
    pub const fn start(&self) -> NonNull<u8> {
        self.address
    }

    /// The address of a byte inside the mapping.
    #[must_use]
    pub fn at(&self, offset: usize) -> *const u8 {
        debug_assert!(offset < self.length, "an offset inside the mapping");
        self.address.as_ptr().wrapping_add(offset)
    }

    /// All bytes. For mappings that nobody writes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for reading, whole, as long as self.
        unsafe { slice::from_raw_parts(self.address.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, whole, and no reference to it outlives self.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.length) };
    }
}
