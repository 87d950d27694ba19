//! Declaring programs: one body, a program for each kind of hook it can sit on.

use crate::{
    ptr::{self, Ptr},
    syscall::current_task,
};

/// What the kernel gave a program, for helpers that want it.
#[derive(Clone, Copy)]
pub struct Context(*const u8);

impl Context {
    /// # Safety
    /// It must be what the kernel gave the program.
    #[inline(always)]
    pub const unsafe fn new<T>(context: *const T) -> Self {
        Self(context.cast())
    }

    #[inline(always)]
    pub(crate) const fn as_ptr(self) -> *const u8 {
        self.0
    }
}

/// The arguments of a tracepoint, typed for the verifier if `DIRECT`.
#[derive(Clone, Copy)]
pub struct Args<const DIRECT: bool> {
    first: *const u64,
    context: Context,
}

impl<const DIRECT: bool> Args<DIRECT> {
    /// # Safety
    /// `context` must be what the kernel gave a raw or BTF tracepoint or fentry program.
    #[inline(always)]
    pub const unsafe fn new(context: *const u64) -> Self {
        // SAFETY: as the caller says.
        Self { first: context, context: unsafe { Context::new(context) } }
    }

    /// The same where the arguments are not what the kernel gave the program.
    ///
    /// # Safety
    /// `first` must be the first of as many as are read.
    #[inline(always)]
    pub const unsafe fn at(first: *const u64, context: Context) -> Self {
        Self { first, context }
    }

    /// The argument `n`, which must exist.
    #[inline(always)]
    pub fn get(self, n: usize) -> u64 {
        // SAFETY: the verifier refuses a program that reads past the arguments.
        unsafe { self.first.add(n).read_volatile() }
    }

    #[inline(always)]
    #[must_use]
    pub const fn context(self) -> Context {
        self.context
    }

    /// The argument `n`, a pointer.
    #[inline(always)]
    pub fn ptr<T>(self, n: usize) -> Ptr<T, DIRECT> {
        Ptr::new(self.get(n) as *const T)
    }
}

/// Does a program's work. For the bench there are objects that do it twice: it must see that.
#[inline(always)]
pub fn work(mut body: impl FnMut() -> Option<()>) {
    body();
    if cfg!(feature = "twice") {
        body();
    }
}

/// Puts a body, `fn<const DIRECT: bool>(Args<DIRECT>) -> Option<()>`, on a tracepoint: as
/// `tp_btf/NAME` and, for kernels without BTF of their own, as `raw_tp/NAME`.
#[macro_export]
macro_rules! tracepoint {
    ($name:ident => $body:ident) => {
        $crate::tracepoint!($name, stringify!($name) => $body);
    };
    ($program:ident, $section:expr => $body:ident) => {
        ::pastey::paste! {
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("tp_btf/", $section))]
            extern "C" fn [<$program _btf>](context: *const u64) -> i32 {
                // SAFETY: the kernel calls this with the tracepoint's arguments.
                let args = unsafe { $crate::program::Args::<true>::new(context) };
                $crate::program::work(|| $body(args));
                0
            }
        }
        $crate::raw_tracepoint!($program, $section => $body);
    };
}

/// The same as `raw_tp/NAME` only: for tracepoints of which the kernel lets no typed program read all arguments.
#[macro_export]
macro_rules! raw_tracepoint {
    ($name:ident => $body:ident) => {
        $crate::raw_tracepoint!($name, stringify!($name) => $body);
    };
    ($program:ident, $section:expr => $body:ident) => {
        ::pastey::paste! {
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("raw_tp/", $section))]
            extern "C" fn [<$program _raw>](context: *const u64) -> i32 {
                // SAFETY: the kernel calls this with the tracepoint's arguments.
                let args = unsafe { $crate::program::Args::<false>::new(context) };
                $crate::program::work(|| $body(args));
                0
            }
        }
    };
}

/// What the first copy of an [`interruptible_tracepoint`] has done on this CPU, by the stack that it was on: that of
/// the current thread, and that of interrupts on top of it.
pub type Done = [u32; 2];

/// The size of a thread's stack in the kernel.
const THREAD_SIZE: u64 = 16 << 10;

/// Whether a program runs on the stack of interrupts.
#[inline(always)]
#[must_use]
pub fn is_interrupt(context: Context) -> bool {
    // By a helper, since the verifier lets nobody calculate with the address of a context.
    let context: u64 = ptr::read_kernel((&raw const context.0).cast());
    context.wrapping_sub(current_task().stack().addr()) >= THREAD_SIZE
}

/// The same for a tracepoint that a softirq may reach while the current thread is in its program. Since 6.1
/// the kernel skips a program that runs on this CPU already, and so loses the softirq's event:
/// <https://git.kernel.org/torvalds/c/05b24ff9b2cf>. There a second copy, `NAME+nested`, is attached too, behind the
/// first: it does the work where that has not done it. That is so wherever the interrupt hits, in the kernel's own
/// instructions around the first copy too.
#[macro_export]
macro_rules! interruptible_tracepoint {
    ($name:ident => $body:ident) => {
        $crate::interruptible_tracepoint!(tracepoint, $name => $body);
    };
    (raw $name:ident => $body:ident) => {
        $crate::interruptible_tracepoint!(raw_tracepoint, $name => $body);
    };
    ($kind:ident, $name:ident => $body:ident) => {
        ::pastey::paste! {
            #[::aya_ebpf::macros::map]
            #[allow(non_upper_case_globals, reason = "named as the tracepoint")]
            static [<DONE_ $name>]: ::aya_ebpf::maps::PerCpuArray<$crate::program::Done> =
                ::aya_ebpf::maps::PerCpuArray::with_max_entries(1, 0);

            /// Whether the first copy was last to run on this stack.
            #[inline(always)]
            fn [<$name _done>](context: $crate::program::Context) -> Option<&'static mut u32> {
                // SAFETY: this CPU's own value, where preemption is off; interrupts have a part of their own.
                let [of_thread, of_interrupts] = unsafe { &mut *[<DONE_ $name>].get_ptr_mut(0)? };
                Some(if $crate::program::is_interrupt(context) { of_interrupts } else { of_thread })
            }

            #[inline(always)]
            fn [<$name _first>]<const DIRECT: bool>(args: $crate::program::Args<DIRECT>) -> Option<()> {
                let result = $body(args);
                // Not before: a hardirq may interrupt a softirq, and be on the same stack.
                *[<$name _done>](args.context())? = 1;
                result
            }

            #[inline(always)]
            fn [<$name _nested>]<const DIRECT: bool>(args: $crate::program::Args<DIRECT>) -> Option<()> {
                if core::mem::take([<$name _done>](args.context())?) != 0 {
                    return None;
                }
                $body(args)
            }

            $crate::$kind!($name => [<$name _first>]);
            $crate::$kind!([<$name _nested>], concat!(stringify!($name), "+nested") => [<$name _nested>]);
        }
    };
}

/// Puts a body, `fn(*const u8) -> Option<()>`, on the record of a tracepoint, which it is given.
#[macro_export]
macro_rules! tracepoint_record {
    ($category:ident / $name:ident => $body:ident) => {
        ::pastey::paste! {
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("tracepoint/", stringify!($category), "/", stringify!($name)))]
            extern "C" fn [<$name _record>](record: *const u8) -> i32 {
                $crate::program::work(|| $body(record));
                0
            }
        }
    };
}

/// Puts a body, `fn() -> Option<()>`, on the start of a kernel function: as `fentry/NAME` and as
/// `kprobe/NAME`.
#[macro_export]
macro_rules! function {
    ($name:ident => $body:expr) => {
        ::pastey::paste! {
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("fentry/", stringify!($name)))]
            extern "C" fn [<$name _fentry>](_: *const u64) -> i32 {
                $crate::program::work($body);
                0
            }

            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("kprobe/", stringify!($name)))]
            extern "C" fn [<$name _kprobe>](_: *const u64) -> i32 {
                $crate::program::work($body);
                0
            }
        }
    };
}

/// Puts a body, `fn(Args<true>) -> Option<()>`, on the end of a kernel function, as `fexit/NAME`: its
/// arguments, and then what it returns.
#[macro_export]
macro_rules! function_end {
    ($name:ident => $body:ident) => {
        ::pastey::paste! {
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("fexit/", stringify!($name)))]
            extern "C" fn [<$name _fexit>](context: *const u64) -> i32 {
                // SAFETY: the kernel calls this with the function's arguments and result.
                $body(unsafe { $crate::program::Args::<true>::new(context) });
                0
            }
        }
    };
}

/// Puts a body, `fn<const DIRECT: bool>(Args<DIRECT>) -> Option<()>`, on the start of a kernel function, with its
/// first three arguments: as `fentry/NAME` and as `kprobe/NAME`.
#[macro_export]
macro_rules! function_args {
    ($name:ident => $body:ident) => {
        ::pastey::paste! {
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("fentry/", stringify!($name)))]
            extern "C" fn [<$name _fentry>](context: *const u64) -> i32 {
                // SAFETY: the kernel calls this with the function's arguments.
                $body(unsafe { $crate::program::Args::<true>::new(context) });
                0
            }

            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("kprobe/", stringify!($name)))]
            extern "C" fn [<$name _kprobe>](context: *const u64) -> i32 {
                let regs: $crate::ptr::Ptr<$crate::kernel::pt_regs, false> =
                    $crate::ptr::Ptr::new(context.cast());
                let args = [regs.di(), regs.si(), regs.dx()];
                // SAFETY: the arguments as the calling convention has them, a word each.
                $body(unsafe {
                    $crate::program::Args::<false>::at(args.as_ptr(), $crate::program::Context::new(context))
                });
                0
            }
        }
    };
}

/// Puts a body, `fn(*const u8) -> Option<()>`, on samples of what CPUs do, which it is given the context of: as
/// `perf_event/NAME` for each of the events that may cause them.
#[macro_export]
macro_rules! sampler {
    ($body:ident on $($name:ident),*) => {
        ::pastey::paste! {$(
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("perf_event/", stringify!($name)))]
            extern "C" fn [<$name _sample>](context: *const u8) -> i32 {
                $crate::program::work(|| $body(context));
                0
            }
        )*}
    };
}

/// Puts a body, `fn(Args<true>) -> Option<()>`, on an iterator over kernel objects. Its arguments
/// are the members of `struct bpf_iter__NAME`, a word each.
#[macro_export]
macro_rules! iterator {
    ($name:ident => $body:ident) => {
        ::pastey::paste! {
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!("iter/", stringify!($name)))]
            extern "C" fn [<$name _iter>](context: *const u64) -> i32 {
                // SAFETY: the kernel calls this with the iterator's members.
                $body(unsafe { $crate::program::Args::<true>::new(context) });
                0
            }
        }
    };
}

/// What every object has: its licence, and the programs that follow processes.
#[macro_export]
macro_rules! object {
    () => {
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "license")]
        static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

        use $crate::follow::{on_fork, on_free};
        $crate::tracepoint!(sched_process_fork => on_fork);
        $crate::tracepoint!(sched_process_free => on_free);
    };
}
