//! The names of Linux's error numbers.

use super::number;

macro_rules! errnos {
    (
        public: $($name:ident)*;
        aliases: $($alias:ident)*;
        kernel: $($internal:ident = $number:literal)*;
    ) => {
        /// The name of an error number.
        pub const fn name(errno: i32) -> Option<&'static str> {
            Some(match errno {
                $(libc::$name => stringify!($name),)*
                $($number => stringify!($internal),)*
                _ => return None,
            })
        }

        /// The error number of a name in capitals.
        fn number_of(name: &str) -> Option<i32> {
            Some(match name {
                $(stringify!($name) => libc::$name,)*
                $(stringify!($alias) => libc::$alias,)*
                $(stringify!($internal) => $number,)*
                _ => return None,
            })
        }

        #[cfg(test)]
        const ALL: &[i32] = &[$(libc::$name,)* $($number,)*];
    };
}

errnos! {
    public:
        EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
        ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
        ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
        ELOOP ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR
        EXFULL ENOANO EBADRQC EBADSLT EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE
        ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD
        EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK
        EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP
        EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET
        ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT
        ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL
        EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED
        EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON;
    aliases:
        EWOULDBLOCK ENOTSUP EDEADLOCK;
    // include/linux/errno.h: no process sees these, but a trace of the kernel does, such as that
    // of a system call that is about to be restarted.
    kernel:
        ERESTARTSYS = 512
        ERESTARTNOINTR = 513
        ERESTARTNOHAND = 514
        ENOIOCTLCMD = 515
        ERESTART_RESTARTBLOCK = 516
        EPROBE_DEFER = 517
        EOPENSTALE = 518
        ENOPARAM = 519
        EBADHANDLE = 521
        ENOTSYNC = 522
        EBADCOOKIE = 523
        ENOTSUPP = 524
        ETOOSMALL = 525
        ESERVERFAULT = 526
        EBADTYPE = 527
        EJUKEBOX = 528
        EIOCBQUEUED = 529
        ERECALLCONFLICT = 530
        ENOGRACE = 531;
}

/// The largest number that the kernel takes for an error.
const MAX_ERRNO: i32 = 4095;

/// An error number from its name, in either case, or from its digits.
pub fn parse(text: &str) -> Option<i32> {
    match text.parse() {
        Ok(errno) => (1..=MAX_ERRNO).contains(&errno).then_some(errno),
        Err(_) => number_of(&text.to_ascii_uppercase()),
    }
}

/// Writes the name, or the number of an error that has none.
pub(super) fn write(out: &mut Vec<u8>, errno: i32) {
    match name(errno) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => number::int(out, i64::from(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for &errno in ALL {
            assert_eq!(parse(name(errno).unwrap()), Some(errno));
            assert_eq!(parse(&errno.to_string()), Some(errno));
        }
    }

    #[test]
    fn public_numbers_are_all_there() {
        /// Numbers that the generic numbering, which x86 uses, leaves out.
        const HOLES: [i32; 2] = [41, 58];
        for errno in 1..=libc::EHWPOISON {
            assert_eq!(name(errno).is_none(), HOLES.contains(&errno), "{errno}");
        }
    }

    #[test]
    fn aliases_and_either_case_parse() {
        assert_eq!(parse("ewouldblock"), Some(libc::EAGAIN));
        assert_eq!(parse("ENOTSUP"), Some(libc::EOPNOTSUPP));
        assert_eq!(parse("EACCES"), Some(13));
    }

    #[test]
    fn what_is_no_errno_does_not_parse() {
        for text in ["", "0", "-2", "4096", "ENOPE", "E NOENT", "99999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
