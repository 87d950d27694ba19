//! Statements for development, which the CLI forwards under `-vv`. Without the feature `debug-log`
//! they are nothing at all, and objects carry no log map.

/// Logs a line: `debug!("queued {}", bytes)`.
#[cfg(feature = "debug-log")]
#[macro_export]
macro_rules! debug {
    ($($argument:tt)*) => {
        ::aya_log_ebpf::debug!(&(), $($argument)*)
    };
}

/// Logs nothing in this build.
#[cfg(not(feature = "debug-log"))]
#[macro_export]
macro_rules! debug {
    ($format:literal $(, $argument:expr)* $(,)?) => {
        $(let _ = $argument;)*
    };
}
