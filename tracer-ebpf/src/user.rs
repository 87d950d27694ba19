//! Functions of user space, at their start and their return.

use aya_ebpf::helpers::generated::bpf_probe_read_user;

use crate::program::Context;

/// The registers of a thread that came to a probe.
#[derive(Clone, Copy)]
pub struct Regs(*const u64);

/// Places of registers: arch/x86/include/uapi/asm/ptrace.h.
mod at {
    pub const R9: usize = 8;
    pub const R8: usize = 9;
    pub const RAX: usize = 10;
    pub const RCX: usize = 11;
    pub const RDX: usize = 12;
    pub const RSI: usize = 13;
    pub const RDI: usize = 14;
    pub const RSP: usize = 19;
}

impl Regs {
    /// # Safety
    /// `context` must be what the kernel gave a program of a uprobe.
    #[inline(always)]
    pub const unsafe fn new(context: *const u64) -> Self {
        Self(context)
    }

    #[inline(always)]
    #[must_use]
    pub const fn context(self) -> Context {
        // SAFETY: as for the registers.
        unsafe { Context::new(self.0) }
    }

    #[inline(always)]
    fn get(self, place: usize) -> u64 {
        // SAFETY: the context is a pt_regs, which has all of these places.
        unsafe { self.0.add(place).read_volatile() }
    }

    /// Argument `n` of a function, at its start; counted from 0, up to the sixth.
    #[inline(always)]
    pub fn arg(self, n: usize) -> u64 {
        self.get([at::RDI, at::RSI, at::RDX, at::RCX, at::R8, at::R9][n])
    }

    /// What a function returned.
    #[inline(always)]
    pub fn result(self) -> u64 {
        self.get(at::RAX)
    }

    /// The top of the stack: at the return of a function above what it was at its start.
    #[inline(always)]
    pub fn stack(self) -> u64 {
        self.get(at::RSP)
    }
}

/// Reads a word of the current process; 0 if that fails.
#[inline(always)]
pub fn read_word(address: u64) -> u64 {
    let mut word = 0_u64;
    // SAFETY: the word has room for as many bytes, and the helper checks the user's address.
    unsafe { bpf_probe_read_user((&raw mut word).cast(), size_of::<u64>() as u32, address as *const _) };
    word
}

/// Puts bodies, `fn(Regs) -> Option<()>`, on the start and on the return of a function of user
/// space: as `uprobe/NAME` and `uretprobe/NAME`.
#[macro_export]
macro_rules! user_function {
    ($name:ident => $start:expr, $return:expr) => {
        $crate::user_function_start!($name => $start);
        ::pastey::paste! {
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("uretprobe/", stringify!($name)))]
            extern "C" fn [<$name _return>](context: *const u64) -> i32 {
                // SAFETY: the kernel calls this with the thread's registers.
                $return(unsafe { $crate::user::Regs::new(context) });
                0
            }
        }
    };
}

/// Puts a body, `fn(Regs) -> Option<()>`, on the start of a function of user space, as `uprobe/NAME`.
#[macro_export]
macro_rules! user_function_start {
    ($name:ident => $start:expr) => {
        ::pastey::paste! {
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("uprobe/", stringify!($name)))]
            extern "C" fn [<$name _start>](context: *const u64) -> i32 {
                // SAFETY: the kernel calls this with the thread's registers.
                $start(unsafe { $crate::user::Regs::new(context) });
                0
            }
        }
    };
}
