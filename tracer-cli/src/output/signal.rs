//! The names of Linux's signals.

use std::borrow::Cow;

macro_rules! signals {
    ($($name:ident)*) => {
        const NAMES: &[(i32, &str)] = &[$((libc::$name, stringify!($name)),)*];
    };
}

signals! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE
    SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ
    SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS
}

/// The first real-time signal that programs can use: the C library keeps the two before it.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// A signal's name, as kill(1) has it.
#[must_use]
pub fn name(signal: i32) -> Cow<'static, str> {
    match NAMES.iter().find(|(number, _)| *number == signal) {
        Some((_, name)) => (*name).into(),
        None if signal == RTMIN => "SIGRTMIN".into(),
        None if (RTMIN..=RTMAX).contains(&signal) => format!("SIGRTMIN+{}", signal - RTMIN).into(),
        None => format!("SIG{signal}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_a_name() {
        assert_eq!(name(libc::SIGSEGV), "SIGSEGV");
        assert_eq!(name(34), "SIGRTMIN");
        assert_eq!(name(64), "SIGRTMIN+30");
        assert_eq!(name(32), "SIG32");
        let named = (1..=31).filter(|&signal| !name(signal).contains(char::is_numeric)).count();
        // SIGUSR1 and SIGUSR2 bear a number.
        assert_eq!(named, 29);
    }
}
