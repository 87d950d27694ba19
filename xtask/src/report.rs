//! What xtask tells its user: progress and errors on stderr, results on stdout.

use std::io::{self, Write};

use anyhow::Error;

/// One line of progress.
pub fn progress(line: impl AsRef<str>) {
    eprintln!("xtask: {}", line.as_ref());
}

pub fn error(error: &Error) {
    eprintln!("xtask: error: {error:#}");
}

/// What was asked for. A reader that has gone away is no reason to stop.
pub fn result(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

pub fn heading(text: &str) {
    result(&format!("\n== {text}"));
}
