//! Conditions on rows, such as `latency_us > 10ms && comm ~ "^nginx"`.
//!
//! A condition is read once, against the columns it is about: what does not fit their types is told
//! then, with its place. After that it looks at typed values only, and allocates nothing.

mod lex;
mod literal;
mod parse;
mod push;

use std::{io::Write as _, net::IpAddr};

use regex::bytes::Regex;

use crate::output::{Column, Value, errno};
use literal::{Network, Number};
pub use push::Pushed;

/// A condition.
#[derive(Debug)]
pub struct Expr {
    node: Node,
    source: String,
}

/// Why a text is no condition, and where.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message} ({place})")]
pub struct ParseError {
    message: String,
    place: String,
}

#[derive(Debug)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Test { place: usize, check: Check },
}

/// What is asked of one value. Nothing is in no relation to anything but nothing.
#[derive(Debug)]
enum Check {
    Nothing,
    Truth(bool),
    Number(Relation, Number),
    Text(Vec<u8>),
    Error(i32),
    Network(Network),
    Like(Regex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Expr {
    /// Reads a condition on rows of these columns.
    ///
    /// # Errors
    /// With the place of what is wrong.
    pub fn parse(source: &str, columns: &[Column]) -> Result<Self, ParseError> {
        let node = parse::parse(source, columns)?;
        Ok(Self { node, source: source.to_owned() })
    }

    /// Whether a row is as it should be.
    #[must_use]
    pub fn matches(&self, values: &[Value<'_>]) -> bool {
        self.node.matches(values)
    }

    /// The text it was read from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl Node {
    fn matches(&self, values: &[Value<'_>]) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(values)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(values)),
            Self::Not(node) => !node.matches(values),
            Self::Test { place, check } => {
                check.is_true_of(values.get(*place).map_or(Value::Null, |value| value.normal()))
            }
        }
    }
}

impl Check {
    fn is_true_of(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Nothing, value) => matches!(value, Value::Null),
            (_, Value::Null) => false,
            (Self::Truth(wanted), Value::Bool(truth)) => *wanted == truth,
            (Self::Number(relation, number), value) => {
                number.compare(value).is_some_and(|order| relation.allows(order))
            }
            (Self::Error(wanted), Value::Errno(errno)) => *wanted == errno,
            (Self::Network(network), Value::Ip(address)) => network.contains(address),
            // One of a stack's functions is enough.
            (Self::Text(wanted), Value::Frames(frames)) => {
                frames.iter().any(|frame| frame.as_bytes() == wanted)
            }
            (Self::Like(regex), Value::Frames(frames)) => {
                frames.iter().any(|frame| regex.is_match(frame.as_bytes()))
            }
            (Self::Text(wanted), value) => with_text(value, |text| text == wanted),
            (Self::Like(regex), value) => with_text(value, |text| regex.is_match(text)),
            // A recording may hold other values than its columns' names suggest.
            (Self::Truth(_) | Self::Error(_) | Self::Network(_), _) => false,
        }
    }
}

impl Relation {
    const fn allows(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// Shows a value's text, which for all but text itself is written on the stack.
fn with_text(value: Value<'_>, see: impl FnOnce(&[u8]) -> bool) -> bool {
    /// As long as the longest address is.
    const LONGEST: usize = 48;
    let mut buffer = [0; LONGEST];
    let mut rest = &mut buffer[..];
    let written = match value {
        Value::Text(text) => return see(text),
        Value::Errno(number) => match errno::name(number) {
            Some(name) => return see(name.as_bytes()),
            None => write!(rest, "{number}"),
        },
        Value::Ip(IpAddr::V4(address)) => write!(rest, "{address}"),
        Value::Ip(IpAddr::V6(address)) => write!(rest, "{address}"),
        Value::Uint(number) => write!(rest, "{number}"),
        Value::Int(number) => write!(rest, "{number}"),
        Value::Float(number, decimals) => write!(rest, "{number:.*}", usize::from(decimals)),
        Value::Bool(truth) => write!(rest, "{truth}"),
        Value::Null | Value::Frames(_) => return false,
    };
    let left = rest.len();
    written.is_ok() && see(&buffer[..LONGEST - left])
}

#[cfg(test)]
mod tests;
