//! System calls at their exit: the arguments are still in the saved registers, the user's pages
//! are resident and the result is known. So one probe sees all of a call.

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_get_current_task, bpf_get_current_task_btf},
};

use crate::{
    kernel::{pt_regs, task_struct},
    program::Args,
    ptr::Ptr,
};

/// A system call's numbers: the native one, and that of 32-bit programs.
#[derive(Clone, Copy)]
pub struct Number {
    native: u16,
    compat: u16,
}

/// arch/x86/entry/syscalls: the numbers never change.
pub mod number {
    use super::Number;

    pub const OPEN: Number = Number { native: 2, compat: 5 };
    pub const MMAP: Number = Number { native: 9, compat: 192 };
    pub const BRK: Number = Number { native: 12, compat: 45 };
    pub const MREMAP: Number = Number { native: 25, compat: 163 };
    pub const CREAT: Number = Number { native: 85, compat: 8 };
    pub const OPENAT: Number = Number { native: 257, compat: 295 };
    pub const OPENAT2: Number = Number { native: 437, compat: 437 };
    pub const EXECVE: Number = Number { native: 59, compat: 11 };
    pub const EXECVEAT: Number = Number { native: 322, compat: 358 };
    pub const CONNECT: Number = Number { native: 42, compat: 362 };
    pub const ACCEPT: Number = Number { native: 43, compat: 364 };
    pub const ACCEPT4: Number = Number { native: 288, compat: 364 };
}

/// `TS_COMPAT`: the thread is in a 32-bit system call.
const TS_COMPAT: u32 = 2;

/// A call that returns, from the arguments of `sys_exit(regs, ret)`.
pub struct Call<const DIRECT: bool> {
    regs: Ptr<pt_regs, DIRECT>,
    /// The result, or the negated errno.
    pub ret: i64,
    /// The caller is a 32-bit program.
    pub compat: bool,
    /// Which of the wanted numbers it is.
    pub which: usize,
}

/// The thread that runs now.
#[inline(always)]
pub fn current_task() -> Ptr<task_struct, false> {
    // SAFETY: the helper has no preconditions.
    Ptr::new(unsafe { bpf_get_current_task() } as *const task_struct)
}

/// Whether there is a helper that gives the current thread a type, by which its fields are loaded directly
/// (since 5.11).
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "enumeration and enumerator are named as in the kernel")]
static BTFE_bpf_func_id__BPF_FUNC_get_current_task_btf: Global<u32> = Global::new(0);

/// The same with a type, if this kernel gives it one.
#[inline(always)]
pub fn typed_current_task() -> Option<Ptr<task_struct, true>> {
    if BTFE_bpf_func_id__BPF_FUNC_get_current_task_btf.load() == u32::MAX {
        return None;
    }
    // SAFETY: the helper has no preconditions.
    Some(Ptr::new(unsafe { bpf_get_current_task_btf() }.cast_const().cast()))
}

/// Whether the current thread is in a 32-bit system call.
#[inline(always)]
pub fn is_compat() -> bool {
    let status = match typed_current_task() {
        Some(task) => task.thread_status(),
        None => current_task().thread_status(),
    };
    status & TS_COMPAT != 0
}

impl<const DIRECT: bool> Call<DIRECT> {
    /// The call, whatever it is.
    #[inline(always)]
    pub fn any(args: Args<DIRECT>, compat: bool) -> Self {
        Self { regs: args.ptr(0), ret: args.get(1) as i64, compat, which: 0 }
    }

    /// The call, if it is one of those wanted. Most calls are not, so their numbers come first.
    #[inline(always)]
    pub fn of<const N: usize>(args: Args<DIRECT>, wanted: [Number; N]) -> Option<Self> {
        let regs: Ptr<pt_regs, DIRECT> = args.ptr(0);
        let number = regs.orig_ax();
        if !wanted.iter().any(|n| number == n.native.into() || number == n.compat.into()) {
            return None;
        }
        let compat = is_compat();
        // Not one search with a choice inside it: that becomes an index into a table on the stack,
        // by arithmetic that the verifier refuses.
        let which = if compat {
            wanted.iter().position(|n| number == n.compat.into())?
        } else {
            wanted.iter().position(|n| number == n.native.into())?
        };
        Some(Self { regs, ret: args.get(1) as i64, compat, which })
    }

    /// Argument `n`, counted from 0, up to the fifth.
    #[inline(always)]
    pub fn arg(&self, n: usize) -> u64 {
        let regs = self.regs;
        if self.compat {
            let value = match n {
                0 => regs.bx(),
                1 => regs.cx(),
                2 => regs.dx(),
                3 => regs.si(),
                _ => regs.di(),
            };
            return value & 0xffff_ffff;
        }
        match n {
            0 => regs.di(),
            1 => regs.si(),
            2 => regs.dx(),
            3 => regs.r10(),
            _ => regs.r8(),
        }
    }
}

/// Puts a body, `fn(Context, i64) -> Option<()>`, on the return of system calls, whose result it is given: on the
/// records of their own tracepoints, which cost other calls next to nothing, and where tracefs is not to
/// be had on the exit of every call.
#[macro_export]
macro_rules! syscall_returns {
    ($body:ident: $($name:ident = $number:ident),+) => {
        ::pastey::paste! {
            $(
                /// Where the record has the call's result.
                #[unsafe(no_mangle)]
                #[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
                static [<TP_syscalls__sys_exit_ $name __ret>]: ::aya_ebpf::Global<u32> =
                    ::aya_ebpf::Global::new(8);

                fn [<on_ $name _record>](record: *const u8) -> Option<()> {
                    let offset = [<TP_syscalls__sys_exit_ $name __ret>].load() as usize;
                    let result = $crate::ptr::read_kernel(record.wrapping_add(offset).cast());
                    // SAFETY: the record is what the kernel gave the program.
                    $body(unsafe { $crate::program::Context::new(record) }, result)
                }

                $crate::tracepoint_record!(syscalls / [<sys_exit_ $name>] => [<on_ $name _record>]);
            )+

            /// `sys_exit(regs, ret)`
            #[inline(always)]
            fn on_syscall_exit<const DIRECT: bool>(args: $crate::program::Args<DIRECT>) -> Option<()> {
                let call = $crate::syscall::Call::of(args, [$($crate::syscall::number::$number),+])?;
                $body(args.context(), call.ret)
            }

            $crate::tracepoint!(sys_exit => on_syscall_exit);
        }
    };
}
