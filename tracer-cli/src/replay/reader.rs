//! The lines of a recording.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, bail};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    engine::sort::{Cell, Kept},
    output::Histogram,
};

/// A longer line is none of a recording's.
const MAX_LINE: u64 = 16 << 20;
/// As much as is read before the columns are settled.
const LOOK_AHEAD: usize = 1000;
const LOOK_AHEAD_BYTES: usize = 4 << 20;

/// What a line holds.
pub enum Recorded {
    Row(Kept),
    Histogram { ns: u64, keys: Vec<(&'static str, Cell)>, histogram: Histogram },
}

/// A member of a JSON object, its value as it is written.
pub type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// The members of a JSON object, in their order and as they are written.
pub struct Members<'a>(pub Vec<Member<'a>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;

        impl<'de> Visitor<'de> for Walk {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row of tracer's JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Walk)
    }
}

/// Reads lines, with their numbers.
pub struct Lines {
    input: BufReader<Box<dyn Read>>,
    number: usize,
    /// What was looked at already.
    ahead: VecDeque<(usize, String)>,
    /// Why there was no more to look at.
    failed: Option<anyhow::Error>,
}

impl Lines {
    /// # Errors
    /// If there is no such file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let input: Box<dyn Read> =
            if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
        Ok(Self::new(input))
    }

    pub(super) fn new(input: Box<dyn Read>) -> Self {
        Self { input: BufReader::new(input), number: 0, ahead: VecDeque::new(), failed: None }
    }

    /// The first lines, which will come again.
    pub fn look_ahead(&mut self) -> impl Iterator<Item = &(usize, String)> {
        let mut bytes = 0;
        while self.ahead.len() < LOOK_AHEAD && bytes < LOOK_AHEAD_BYTES {
            match self.read() {
                Ok(Some(line)) => {
                    bytes += line.1.len();
                    self.ahead.push_back(line);
                }
                Ok(None) => break,
                // It is told when it is the line's turn.
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        self.ahead.iter()
    }

    /// Whether there was no line to look at, and none that could not be read.
    pub fn is_empty(&self) -> bool {
        self.ahead.is_empty() && self.failed.is_none()
    }

    /// The next line that is not empty.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn next(&mut self) -> anyhow::Result<Option<(usize, String)>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        self.failed.take().map_or_else(|| self.read(), Err)
    }

    fn read(&mut self) -> anyhow::Result<Option<(usize, String)>> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            let number = self.number;
            let read = self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
            if read as u64 == MAX_LINE && line.last() != Some(&b'\n') {
                bail!("line {number} is too long");
            }
            let line = String::from_utf8(line).with_context(|| format!("line {number}"))?;
            if read == 0 {
                return Ok(None);
            }
            if !line.trim().is_empty() {
                return Ok(Some((number, line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static [u8]) -> Lines {
        Lines::new(Box::new(text))
    }

    #[test]
    fn lines_come_again_after_a_look() {
        let mut two = lines(b"{}\n\n[]");
        assert_eq!(two.look_ahead().count(), 2);
        assert_eq!(two.next().unwrap(), Some((1, "{}\n".to_owned())));
        assert_eq!(two.next().unwrap(), Some((3, "[]".to_owned())));
        assert_eq!(two.next().unwrap(), None);
    }

    #[test]
    fn what_can_not_be_read_is_told_in_its_turn() {
        let mut bad = lines(b"{}\n\xff\n{}\n");
        assert_eq!(bad.look_ahead().count(), 1);
        assert!(bad.next().is_ok() && !bad.is_empty());
        assert_eq!(
            format!("{:#}", bad.next().unwrap_err()),
            "line 2: invalid utf-8 sequence of 1 bytes from index 0"
        );
        let mut none = lines(b"\n\n");
        assert!(none.look_ahead().count() == 0 && none.is_empty());
    }
}
