//! Where rows go.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nobody reads any more, as when `head` has seen enough: no fault, but the end.
    #[error("the reader of the output is gone")]
    Closed,
    /// The run was told to end, and the reader takes no more.
    #[error("stopped before all output was taken")]
    Stopped,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A descriptor that rows are written to, in a way that a reader who does not read cannot make
/// hang for good.
#[derive(Debug)]
pub struct Sink {
    file: File,
    /// Whether writes may wait for somebody: on everything but regular files.
    may_wait: bool,
    is_terminal: bool,
    /// Set when the run is to end.
    stop: &'static AtomicBool,
}

impl Sink {
    pub fn stdout(stop: &'static AtomicBool) -> io::Result<Self> {
        Self::duplicate(io::stdout().as_fd(), stop)
    }

    pub fn stderr(stop: &'static AtomicBool) -> io::Result<Self> {
        Self::duplicate(io::stderr().as_fd(), stop)
    }

    /// The argument of `--output`: a file, created or emptied, or `-` for stdout.
    pub fn open(path: &Path, stop: &'static AtomicBool) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::stdout(stop);
        }
        Self::new(File::create(path)?, stop)
    }

    /// A descriptor of our own for the same open file: closed on exec, and its flags are shared
    /// with others, which is why it never becomes non-blocking.
    fn duplicate(fd: BorrowedFd<'_>, stop: &'static AtomicBool) -> io::Result<Self> {
        Self::new(File::from(fd.try_clone_to_owned()?), stop)
    }

    fn new(file: File, stop: &'static AtomicBool) -> io::Result<Self> {
        let (may_wait, is_terminal) = (!file.metadata()?.is_file(), file.is_terminal());
        Ok(Self { file, may_wait, is_terminal, stop })
    }

    /// Whether the reader is known to be gone, which a run without events learns in no other way.
    pub fn is_closed(&self) -> bool {
        // Errors are reported whether asked for or not; asking for nothing leaves only those.
        self.may_wait && poll(&self.file, 0, 0).is_ok_and(|events| events & libc::POLLERR != 0)
    }

    /// The number of characters in a line, if this is a terminal that tells.
    pub(super) fn terminal_width(&self) -> Option<usize> {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is open, and the pointer is to a winsize of ours.
        let known = self.is_terminal
            && unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == 0;
        (known && size.ws_col > 0).then_some(size.ws_col.into())
    }

    /// Writes all of the bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.may_wait {
            return self.write_in_chunks(bytes);
        }
        self.file.write_all(bytes).map_err(WriteError::from_io)
    }

    fn write_in_chunks(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.wait()?;
            match self.file.write(chunk(rest)) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(WriteError::from_io(error)),
            }
        }
        Ok(())
    }

    /// Waits until a chunk can be written without waiting. When the run is to end, the reader has
    /// a moment to take the last rows.
    fn wait(&self) -> Result<(), WriteError> {
        const TURN_MS: i32 = 100;
        const LAST_TURNS: u32 = 5;
        let mut last_turns = 0;
        loop {
            match poll(&self.file, libc::POLLOUT, TURN_MS) {
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error.into()),
            }
            if self.stop.load(Ordering::Relaxed) {
                if last_turns == LAST_TURNS {
                    return Err(WriteError::Stopped);
                }
                last_turns += 1;
            }
        }
    }
}

impl WriteError {
    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Errors after which to try again; WouldBlock where somebody else made the file non-blocking.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// As much as a pipe that is ready takes without waiting, in whole lines where one is short
/// enough: readers of a run that was stopped, and other writers, see no half of a row.
fn chunk(bytes: &[u8]) -> &[u8] {
    if bytes.len() <= libc::PIPE_BUF {
        return bytes;
    }
    let longest = &bytes[..libc::PIPE_BUF];
    match longest.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => &longest[..=end],
        None => longest,
    }
}

/// The events that poll(2) reports for a file, 0 when the time is over.
fn poll(file: &File, events: i16, timeout_ms: i32) -> io::Result<i16> {
    let mut entry = libc::pollfd { fd: file.as_raw_fd(), events, revents: 0 };
    // SAFETY: the pointer is to one pollfd, as the count says, and the descriptor is open.
    match unsafe { libc::poll(&raw mut entry, 1, timeout_ms) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(entry.revents),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{PipeReader, Read as _, pipe},
        os::fd::{FromRawFd as _, OwnedFd},
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    static GO_ON: AtomicBool = AtomicBool::new(false);
    static STOP: AtomicBool = AtomicBool::new(true);

    fn piped(stop: &'static AtomicBool) -> (PipeReader, Sink) {
        let (reader, writer) = pipe().unwrap();
        let file = File::from(OwnedFd::from(writer));
        (reader, Sink::new(file, stop).unwrap())
    }

    fn lines(count: usize) -> Vec<u8> {
        (0..count).flat_map(|n| format!("line {n}\n").into_bytes()).collect()
    }

    #[test]
    fn a_file_is_emptied_and_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old content").unwrap();
        let mut sink = Sink::open(file.path(), &GO_ON).unwrap();
        sink.write(b"new\n").unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), b"new\n");
        assert!(!sink.is_closed());
    }

    #[test]
    fn a_terminal_has_a_width() {
        let (mut ours, mut theirs) = (-1, -1);
        let mut size = libc::winsize { ws_row: 24, ws_col: 83, ws_xpixel: 0, ws_ypixel: 0 };
        let null = std::ptr::null_mut();
        // SAFETY: the pointers are to descriptors and a size of ours, and the rest may be null.
        let made = unsafe {
            libc::openpty(&raw mut ours, &raw mut theirs, null, std::ptr::null_mut(), &raw mut size)
        };
        assert_eq!(made, 0);
        // SAFETY: the descriptor is new, and nobody else's.
        let _ours = unsafe { OwnedFd::from_raw_fd(ours) };
        // SAFETY: so is this one.
        let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
        let sink = Sink::new(File::from(theirs), &GO_ON).unwrap();
        assert_eq!(sink.terminal_width(), Some(83));
        assert_eq!(piped(&GO_ON).1.terminal_width(), None);
    }

    #[test]
    fn a_full_disk_says_so() {
        let mut sink = Sink::open(Path::new("/dev/full"), &GO_ON).unwrap();
        match sink.write(b"row\n") {
            Err(WriteError::Io(error)) => assert_eq!(error.raw_os_error(), Some(libc::ENOSPC)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_says_so() {
        assert!(Sink::open(Path::new("/nonexistent/file"), &GO_ON).is_err());
    }

    #[test]
    fn a_reader_who_is_gone_closes_it() {
        let (reader, mut sink) = piped(&GO_ON);
        assert!(!sink.is_closed());
        drop(reader);
        assert!(sink.is_closed());
        assert!(matches!(sink.write(b"row\n"), Err(WriteError::Closed)));
    }

    #[test]
    fn a_slow_reader_gets_everything() {
        let (mut reader, mut sink) = piped(&GO_ON);
        let bytes = lines(50_000);
        let expected = bytes.clone();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(150));
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        sink.write(&bytes).unwrap();
        drop(sink);
        assert!(thread.join().unwrap().unwrap() == expected);
    }

    #[test]
    fn a_reader_who_does_not_read_cannot_hold_up_the_end() {
        let (mut reader, mut sink) = piped(&STOP);
        let start = Instant::now();
        assert!(matches!(sink.write(&lines(50_000)), Err(WriteError::Stopped)));
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(sink);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read.last(), Some(&b'\n'), "the last row is whole");
    }

    #[test]
    fn a_reader_who_reads_gets_the_last_rows_after_the_end() {
        let (mut reader, mut sink) = piped(&STOP);
        sink.write(b"summary\n").unwrap();
        drop(sink);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "summary\n");
    }

    #[test]
    fn chunks_end_with_lines() {
        let bytes = lines(2_000);
        let first = chunk(&bytes);
        assert!(first.len() <= libc::PIPE_BUF && first.ends_with(b"\n"));
        assert_eq!(chunk(b"short"), b"short");
        let long = vec![b'x'; 3 * libc::PIPE_BUF];
        assert_eq!(chunk(&long).len(), libc::PIPE_BUF);
    }
}
