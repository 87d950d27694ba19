//! The lines that a process writes to a pipe, as they come.

use std::{
    io::{BufRead, BufReader, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Instant,
};

use super::{Result, bail, deadline};

/// A thread reads the pipe, so that its writer is never held up.
pub struct Lines {
    channel: Receiver<Vec<u8>>,
}

impl Lines {
    pub fn read(pipe: impl Read + Send + 'static) -> Self {
        let (sender, channel) = channel();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            loop {
                let mut line = Vec::new();
                match pipe.read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => break,
                    Ok(_) if sender.send(line).is_err() => break,
                    Ok(_) => {}
                }
            }
        });
        Self { channel }
    }

    /// The next line with its end, or None when the pipe was closed.
    pub fn next(&self) -> Result<Option<Vec<u8>>> {
        let left = deadline().saturating_duration_since(Instant::now());
        match self.channel.recv_timeout(left) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("no line came in {} s", left.as_secs()),
        }
    }

    /// All that is still to come, until the pipe is closed.
    pub fn rest(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(line) = self.next()? {
            all.extend(line);
        }
        Ok(all)
    }
}
