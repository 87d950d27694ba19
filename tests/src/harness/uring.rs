//! io_uring, as far as workloads need it: one request at a time.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{Result, ensure, sys};

/// `IORING_OP_ACCEPT`
pub const ACCEPT: u8 = 13;

/// `IORING_OFF_SQES`
const REQUESTS_AT: usize = 0x1000_0000;
const PAGE: usize = 4096;
/// `IORING_ENTER_GETEVENTS`
const WAIT: usize = 1;

/// Words of struct `io_uring_params`: what its fields say.
mod word {
    pub const COUNT: usize = 30;
    pub const REQUEST_TAIL: usize = 11;
    pub const REQUEST_INDEXES: usize = 16;
    pub const RESULT_HEAD: usize = 20;
    pub const RESULTS: usize = 25;
}

pub struct Uring {
    fd: OwnedFd,
    /// Both queues, and the requests.
    rings: usize,
    requests: usize,
    params: [u32; word::COUNT],
}

impl Uring {
    /// # Errors
    /// If this kernel has no io_uring for us.
    pub fn new() -> io::Result<Self> {
        let mut params = [0_u32; word::COUNT];
        let at = params.as_mut_ptr() as usize;
        let fd = sys::own(sys::call(libc::SYS_io_uring_setup, &[1, at]))?;
        let map = |offset| {
            let prot = (libc::PROT_READ | libc::PROT_WRITE) as usize;
            let args = [0, PAGE, prot, libc::MAP_SHARED as usize, fd.as_raw_fd() as usize, offset];
            sys::call(libc::SYS_mmap, &args).map_err(io::Error::from_raw_os_error)
        };
        // Queues of one entry share a page.
        Ok(Self { rings: map(0)?, requests: map(REQUESTS_AT)?, fd, params })
    }

    /// Makes a request of a descriptor, without more arguments, and waits for its result.
    pub fn call(&mut self, operation: u8, fd: &impl AsRawFd) -> Result<i32> {
        let mut request = [0_u8; 64];
        request[0] = operation;
        request[4..8].copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
        // SAFETY: the kernel's page of requests, of which there is one, is mapped as long as this is.
        unsafe { std::ptr::copy_nonoverlapping(request.as_ptr(), self.requests as *mut u8, request.len()) };
        self.word(word::REQUEST_INDEXES, 0).store(0, Ordering::Relaxed);
        self.word(word::REQUEST_TAIL, 0).fetch_add(1, Ordering::Release);
        let args = [self.fd.as_raw_fd() as usize, 1, 1, WAIT, 0, 0];
        let taken = sys::call(libc::SYS_io_uring_enter, &args).map_err(io::Error::from_raw_os_error)?;
        ensure!(taken == 1, "the kernel took {taken} requests");
        // A result has 16 bytes, and the queue room for two.
        let head = self.word(word::RESULT_HEAD, 0).fetch_add(1, Ordering::AcqRel);
        Ok(self.word(word::RESULTS, (head as usize % 2) * 16 + 8).load(Ordering::Acquire) as i32)
    }

    /// A word of the queues, `offset` bytes from where a parameter says.
    fn word(&self, parameter: usize, offset: usize) -> &AtomicU32 {
        let at = self.rings + self.params[parameter] as usize + offset;
        // SAFETY: the kernel's queues are mapped as long as this is, and their words are aligned.
        unsafe { &*(at as *const AtomicU32) }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        for at in [self.rings, self.requests] {
            let _ = sys::call(libc::SYS_munmap, &[at, PAGE]);
        }
    }
}
