//! Files that are truncated while they are mapped, as where somebody copies a new library over one that is in use.
//! Whoever reads a page that is gone is sent SIGBUS, which would end tracer in the middle of a run.

use std::sync::Once;

use libc::{c_int, c_void, siginfo_t};

/// Lets pages that are gone be read as zeros, in which no names are found.
pub fn survive() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: an action of zeros is a valid one, which gets a handler of the form that its flag asks for. Where
        // the kernel refuses, all is as before.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = fill;
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
        }
    });
}

/// Puts an empty page where one is gone. Makes system calls only, as a handler must.
extern "C" fn fill(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel gives the handler what it knows of the signal, and of SIGBUS it knows the address; the page
    // that is replaced is one of a mapping of a file which it has no more.
    unsafe {
        let size = libc::sysconf(libc::_SC_PAGESIZE).unsigned_abs() as usize;
        let page = ((*info).si_addr() as usize & !(size - 1)) as *mut c_void;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let is_gone = (*info).si_code == libc::BUS_ADRERR;
        if !is_gone || libc::mmap(page, size, libc::PROT_READ, flags, -1, 0) == libc::MAP_FAILED {
            // What caused it is done again, and ends tracer.
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd as _, ptr};

    use super::*;

    #[test]
    fn pages_that_are_gone_are_zeros() {
        const SIZE: usize = 1 << 16;
        survive();
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), vec![7; SIZE]).unwrap();
        let file = File::open(path.path()).unwrap();
        // SAFETY: a new mapping of an open file, as long as that.
        let bytes = unsafe {
            let flags = libc::MAP_PRIVATE;
            let at = libc::mmap(ptr::null_mut(), SIZE, libc::PROT_READ, flags, file.as_raw_fd(), 0);
            assert_ne!(at, libc::MAP_FAILED);
            at.cast::<u8>()
        };
        path.as_file().set_len(0).unwrap();
        for offset in [0, 1, SIZE - 1] {
            // SAFETY: within the mapping.
            assert_eq!(unsafe { bytes.add(offset).read_volatile() }, 0, "{offset}");
        }
    }
}
