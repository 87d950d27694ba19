//! TCP sockets as they are accepted, whatever the call.

use crate::{kernel::sock, path::file_of, ptr::Ptr, sock::tcp_sock_of, syscall::current_task};

/// The TCP socket behind a descriptor that a call gave the current thread.
#[inline(always)]
pub fn behind(fd: i64) -> Option<Ptr<sock, false>> {
    if fd < 0 {
        return None;
    }
    let sk = tcp_sock_of(file_of(current_task(), fd as i32));
    (!sk.is_null()).then_some(sk)
}

/// Puts a body, `fn(Context, Ptr<sock, false>, i64) -> Option<()>`, on all ways in which sockets are accepted, in the
/// acceptor's context; it is given the descriptor too.
///
/// accept(2) tells by itself. Of what io_uring completes, and of the one call that 32-bit programs have for all that
/// sockets do, only the result is known: so these count if `waits`, `fn(u64) -> bool`, says that the socket is one that
/// waits to be accepted.
#[macro_export]
macro_rules! accepts {
    ($waits:path => $body:path) => {
        /// Where the record has the result, a long one in some kernels.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
        static TP_io_uring__io_uring_complete__res: ::aya_ebpf::Global<u32> = ::aya_ebpf::Global::new(0);

        #[inline(always)]
        fn on_accept(context: $crate::program::Context, fd: i64) -> Option<()> {
            let sk = $crate::accept::behind(fd)?;
            // Where each call's exit is hooked, those of 32-bit programs come too, a second time.
            if $crate::syscall::is_compat() && !$waits(sk.addr()) {
                return None;
            }
            $body(context, sk, fd)
        }

        #[inline(always)]
        fn on_result(context: $crate::program::Context, result: i64) -> Option<()> {
            let sk = $crate::accept::behind(result)?;
            if !$waits(sk.addr()) {
                return None;
            }
            $body(context, sk, result)
        }

        fn on_completion(record: *const u8) -> Option<()> {
            let offset = TP_io_uring__io_uring_complete__res.load() as usize;
            let result: i32 = $crate::ptr::read_kernel(record.wrapping_add(offset).cast());
            // SAFETY: the record is what the kernel gave the program.
            on_result(unsafe { $crate::program::Context::new(record) }, result.into())
        }

        /// `__ia32_sys_accept4(regs)` and the like
        #[inline(always)]
        fn on_accept_of_32_bits(args: $crate::program::Args<true>) -> Option<()> {
            on_result(args.context(), args.get(1) as i64)
        }

        $crate::syscall_returns!(on_accept: accept = ACCEPT, accept4 = ACCEPT4);
        $crate::tracepoint_record!(io_uring / io_uring_complete => on_completion);
        $crate::function_end!(__ia32_sys_accept4 => on_accept_of_32_bits);
        $crate::function_end!(__ia32_compat_sys_socketcall => on_accept_of_32_bits);
    };
}
