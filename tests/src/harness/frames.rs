//! Functions that keep frame pointers however the rest is compiled, so that their stacks are known: NAME_start
//! does a system call again and again, in NAME_inner, which NAME_outer calls. The chain of frames ends at NAME_start.

use std::{arch::global_asm, ffi::c_void, ptr};

use super::{Result, ensure};

/// A system call that is done so many times.
#[repr(C)]
pub struct Deed {
    rounds: u64,
    call: u64,
    args: [u64; 4],
}

impl Deed {
    pub fn new(rounds: u64, call: i64, args: [u64; 4]) -> Self {
        Self { rounds, call: call.unsigned_abs(), args }
    }
}

macro_rules! functions {
    ($($name:ident: $start:ident, $outer:ident, $inner:ident;)*) => {
        $(global_asm!(
            concat!(".globl ", stringify!($start)),
            concat!(".type ", stringify!($start), ", @function"),
            concat!(stringify!($start), ":"),
            "mov rax, rbp",
            "push 0",
            "mov rbp, rsp",
            "push rax",
            "push rbx",
            "mov rbx, rdi",
            concat!("2: call ", stringify!($outer)),
            "dec qword ptr [rbx]",
            "jnz 2b",
            "pop rbx",
            "pop rax",
            "add rsp, 8",
            "mov rbp, rax",
            "xor eax, eax",
            "ret",
            concat!(".size ", stringify!($start), ", . - ", stringify!($start)),
            concat!(".type ", stringify!($outer), ", @function"),
            concat!(stringify!($outer), ":"),
            "push rbp",
            "mov rbp, rsp",
            concat!("call ", stringify!($inner)),
            "pop rbp",
            "ret",
            concat!(".size ", stringify!($outer), ", . - ", stringify!($outer)),
            concat!(".type ", stringify!($inner), ", @function"),
            concat!(stringify!($inner), ":"),
            "push rbp",
            "mov rbp, rsp",
            "mov rax, [rbx + 8]",
            "mov rdi, [rbx + 16]",
            "mov rsi, [rbx + 24]",
            "mov rdx, [rbx + 32]",
            "mov r10, [rbx + 40]",
            "syscall",
            "pop rbp",
            "ret",
            concat!(".size ", stringify!($inner), ", . - ", stringify!($inner)),
        );)*

        unsafe extern "C" {
            $(fn $start(deed: *mut c_void) -> *mut c_void;)*
        }

        $(#[allow(dead_code, reason = "a deed is done in one of these ways")]
        pub mod $name {
            /// The functions, the outermost first.
            pub const STACK: [&str; 3] = [stringify!($start), stringify!($outer), stringify!($inner)];

            /// Does it here and now.
            pub fn run(deed: &mut super::Deed) {
                // SAFETY: the function keeps to the calling convention, and a deed's system call is one that
                // this process can stand.
                unsafe { super::$start((&raw mut *deed).cast()) };
            }

            /// Does it in a thread of its own.
            pub fn spawn(deed: Box<super::Deed>) -> super::Result<super::Thread> {
                super::spawn(super::$start, deed)
            }
        })*
    };
}

functions! {
    nap: nap_start, nap_outer, nap_inner;
    wake: wake_start, wake_outer, wake_inner;
}

/// A thread that does a deed.
pub struct Thread(libc::pthread_t);

fn spawn(start: unsafe extern "C" fn(*mut c_void) -> *mut c_void, deed: Box<Deed>) -> Result<Thread> {
    let mut thread = 0;
    // SAFETY: both are pointers to functions of the same arguments and result.
    let start: extern "C" fn(*mut c_void) -> *mut c_void = unsafe { std::mem::transmute(start) };
    // SAFETY: the deed is the thread's, as long as it lives.
    let failed =
        unsafe { libc::pthread_create(&raw mut thread, ptr::null(), start, Box::into_raw(deed).cast()) };
    ensure!(failed == 0, "no thread");
    Ok(Thread(thread))
}

impl Thread {
    /// Waits for its end.
    pub fn join(self) -> Result<()> {
        // SAFETY: the thread is ours, and joined once.
        let failed = unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
        ensure!(failed == 0, "no thread to join");
        Ok(())
    }
}
