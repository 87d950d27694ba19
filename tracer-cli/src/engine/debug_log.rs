//! The kernel programs' own statements, in builds made for development.

use std::io;

use aya_log::EbpfLogger;

use crate::bpf::hook::Link;

/// Prints each statement to stderr.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("tracer: {}: {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Reads the statements of one object's programs.
pub struct DebugLog(EbpfLogger<Stderr>);

impl DebugLog {
    /// The log of attached programs; `None` if they have no statements.
    ///
    /// # Errors
    /// If the kernel does not tell the programs' ids.
    pub fn of(links: &[Link]) -> io::Result<Option<Self>> {
        for link in links {
            if let Ok(logger) = EbpfLogger::init_from_id_with_logger(link.program_id()?, Stderr) {
                return Ok(Some(Self(logger)));
            }
        }
        Ok(None)
    }

    /// Prints what has come.
    pub fn forward(&mut self) {
        self.0.flush();
    }
}
