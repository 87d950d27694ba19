//! A line on the terminal while a long run goes on.

use std::io::{IsTerminal as _, Write as _};

use tokio::time::Instant;

use crate::engine::session::Session;

/// How a run goes: only on a terminal, and where no command writes there too.
pub struct Progress {
    start: Instant,
    shown: bool,
    is_wanted: bool,
}

impl Progress {
    pub fn new(session: &Session) -> Self {
        let common = &session.common;
        let is_wanted = !common.quiet && common.command.is_empty() && std::io::stderr().is_terminal();
        Self { start: Instant::now(), shown: false, is_wanted }
    }

    /// Shows how far the run is.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn show(&mut self, session: &Session, map: &str, counted: &str) -> anyhow::Result<()> {
        if !self.is_wanted {
            return Ok(());
        }
        let mut count = 0;
        // Tools that keep another account of their own have no such map.
        if let Ok(map) = session.map(map) {
            for key in map.keys()? {
                count += map.counters(&key)?.and_then(|counters| counters.first().copied()).unwrap_or(0);
            }
        }
        let elapsed = self.start.elapsed();
        let time = match session.common.duration {
            Some(duration) => format!("{} s left", duration.saturating_sub(elapsed).as_secs()),
            None => format!("{} s", elapsed.as_secs()),
        };
        self.shown = true;
        // A terminal that is gone is no failure.
        let _ = write!(std::io::stderr(), "\r{time}, {count} {counted}, {} lost\x1b[K", session.lost()?);
        Ok(())
    }

    /// Makes way for what comes.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
