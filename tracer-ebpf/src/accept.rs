//! TCP sockets as they are accepted, whatever the call.

use crate::{
    kernel::{file, sock},
    path::file_of,
    program::Args,
    ptr::Ptr,
    sock::tcp_sock_of,
    syscall::{current_task, is_compat},
};

/// The TCP socket behind a descriptor that a call gave the current thread.
#[inline(always)]
pub fn behind(fd: i64) -> Option<Ptr<sock, false>> {
    if fd < 0 {
        return None;
    }
    let sk = tcp_sock_of(file_of(current_task(), fd as i32));
    (!sk.is_null()).then_some(sk)
}

/// `fd_install(fd, file)` in a call of a 32-bit program: its TCP socket.
#[inline(always)]
pub fn installed<const DIRECT: bool>(args: Args<DIRECT>) -> Option<Ptr<sock, false>> {
    if !is_compat() {
        return None;
    }
    let file: Ptr<file, DIRECT> = args.ptr(1);
    let sk = tcp_sock_of(file.by_helper());
    (!sk.is_null()).then_some(sk)
}

/// Puts a body, `fn(Ptr<sock, false>, i64) -> Option<()>`, on all ways in which sockets are accepted, in the
/// acceptor's context; it is given the descriptor too.
///
/// accept(2) tells by itself. Of what io_uring completes only the result is known, and of 32-bit programs' calls,
/// whose returns have no tracepoint of their own, only that a descriptor is made: so these count if `waits`,
/// `fn(u64) -> bool`, says that the socket is one that waits to be accepted.
#[macro_export]
macro_rules! accepts {
    ($waits:path => $body:path) => {
        /// Where the record has the result, a long one in some kernels.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals, reason = "named as the loader looks it up")]
        static TP_io_uring__io_uring_complete__res: ::aya_ebpf::Global<u32> = ::aya_ebpf::Global::new(0);

        #[inline(always)]
        fn on_accept(fd: i64) -> Option<()> {
            let sk = $crate::accept::behind(fd)?;
            // Where each call's exit is hooked, those of 32-bit programs come too, after their descriptors.
            if $crate::syscall::is_compat() && !$waits(sk.addr()) {
                return None;
            }
            $body(sk, fd)
        }

        fn on_completion(record: *const u8) -> Option<()> {
            let offset = TP_io_uring__io_uring_complete__res.load() as usize;
            let result: i32 = $crate::ptr::read_kernel(record.wrapping_add(offset).cast());
            let sk = $crate::accept::behind(result.into())?;
            if !$waits(sk.addr()) {
                return None;
            }
            $body(sk, result.into())
        }

        #[inline(always)]
        fn on_descriptor<const DIRECT: bool>(args: $crate::program::Args<DIRECT>) -> Option<()> {
            let sk = $crate::accept::installed(args)?;
            if !$waits(sk.addr()) {
                return None;
            }
            $body(sk, args.get(0) as i64)
        }

        $crate::syscall_returns!(on_accept: accept = ACCEPT, accept4 = ACCEPT4);
        $crate::tracepoint_record!(io_uring / io_uring_complete => on_completion);
        $crate::function_args!(fd_install => on_descriptor);
    };
}
