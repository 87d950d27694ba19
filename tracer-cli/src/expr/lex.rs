//! The words and signs of a condition.

use super::ParseError;

/// One of them, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub at: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Close,
    And,
    Or,
    Not,
    Operator(Operator),
    /// A name, a number, or a text that needs no quotes.
    Word(String),
    Quoted(Vec<u8>),
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    Like,
    Unlike,
}

impl Operator {
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::Like => "~",
            Self::Unlike => "!~",
        }
    }
}

/// The longer of two signs that begin alike comes first.
const SIGNS: &[(&str, Kind)] = &[
    ("(", Kind::Open),
    (")", Kind::Close),
    ("&&", Kind::And),
    ("||", Kind::Or),
    ("==", Kind::Operator(Operator::Equal)),
    ("!=", Kind::Operator(Operator::Unequal)),
    ("!~", Kind::Operator(Operator::Unlike)),
    ("<=", Kind::Operator(Operator::AtMost)),
    (">=", Kind::Operator(Operator::AtLeast)),
    ("<", Kind::Operator(Operator::Less)),
    (">", Kind::Operator(Operator::More)),
    ("~", Kind::Operator(Operator::Like)),
    ("!", Kind::Not),
];

/// Takes a condition apart; the last token is its end.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, ParseError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += source[at..].len() - source[at..].trim_start().len();
        let (kind, len) = next(source, at)?;
        let is_end = kind == Kind::End;
        tokens.push(Token { at, kind });
        if is_end {
            return Ok(tokens);
        }
        at += len;
    }
}

/// The token at a place, and its length.
fn next(source: &str, at: usize) -> Result<(Kind, usize), ParseError> {
    let rest = &source[at..];
    if let Some((sign, kind)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Ok((kind.clone(), sign.len()));
    }
    match rest.chars().next() {
        None => Ok((Kind::End, 0)),
        Some(quote @ ('"' | '\'')) => quoted(source, at, quote),
        Some('=') => Err(ParseError::at(source, at, "equality is ==")),
        Some('&') => Err(ParseError::at(source, at, "and is &&")),
        Some('|') => Err(ParseError::at(source, at, "or is ||")),
        Some(_) => {
            let ends = |c: char| c.is_whitespace() || "()&|!<>=~\"'".contains(c);
            let len = rest.find(ends).unwrap_or(rest.len());
            Ok((Kind::Word(rest[..len].to_owned()), len))
        }
    }
}

/// A text in quotes, with the escapes that tables have. A backslash before anything else stays, for
/// regular expressions.
fn quoted(source: &str, at: usize, quote: char) -> Result<(Kind, usize), ParseError> {
    let inside = &source[at + 1..];
    let mut text = Vec::new();
    let mut rest = inside.chars();
    loop {
        match rest.next() {
            None => return Err(ParseError::at(source, at, "a quote is not closed")),
            Some(end) if end == quote => break,
            Some('\\') => {
                let (bytes, len) = escaped(rest.as_str(), quote);
                text.extend_from_slice(&bytes);
                rest = rest.as_str()[len..].chars();
            }
            Some(plain) => text.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    // Both quotes count.
    Ok((Kind::Quoted(text), inside.len() - rest.as_str().len() + 1))
}

/// What a backslash before this text stands for, and how much of the text belongs to it.
fn escaped(rest: &str, quote: char) -> (Vec<u8>, usize) {
    let hex = rest.strip_prefix('x').and_then(|digits| digits.get(..2));
    if let Some(byte) = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        return (vec![byte], 3);
    }
    match rest.chars().next() {
        Some('n') => (b"\n".to_vec(), 1),
        Some('t') => (b"\t".to_vec(), 1),
        Some('r') => (b"\r".to_vec(), 1),
        Some('\\') => (b"\\".to_vec(), 1),
        Some(own) if own == quote => (vec![own as u8], 1),
        _ => (b"\\".to_vec(), 0),
    }
}
