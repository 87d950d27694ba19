//! From a condition's tokens to its tree.

use std::iter::Peekable;

use regex::bytes::RegexBuilder;

use super::{
    Check, Node, ParseError, Relation,
    lex::{self, Kind as Sign, Operator, Token},
    literal::{Network, Number},
};
use crate::output::{Column, Kind, errno, find_column};

/// Parentheses and negations within each other.
const MAX_DEPTH: usize = 50;
/// Memory that a regular expression may take.
const MAX_REGEX: usize = 1 << 20;
/// Longer conditions are a mistake.
const MAX_LEN: usize = 1 << 16;

impl ParseError {
    pub(super) fn at(source: &str, at: usize, message: impl Into<String>) -> Self {
        /// As much as shows where it is.
        const SHOWN: usize = 24;
        let rest: String = source[at..].chars().take(SHOWN).collect();
        let place = if rest.is_empty() {
            "at the end".to_owned()
        } else {
            format!("character {}, at {rest:?}", source[..at].chars().count() + 1)
        };
        Self { message: message.into(), place }
    }
}

pub(super) fn parse(source: &str, columns: &[Column]) -> Result<Node, ParseError> {
    if source.len() > MAX_LEN {
        return Err(ParseError::at(source, 0, "the condition is too long"));
    }
    let tokens = lex::tokens(source)?.into_iter().peekable();
    let mut parser = Parser { source, columns, tokens, depth: 0 };
    let node = parser.any()?;
    match parser.next() {
        Some(Token { at, kind }) if kind != Sign::End => Err(parser.error(at, "&& or || is missing")),
        _ => Ok(node),
    }
}

struct Parser<'a> {
    source: &'a str,
    columns: &'a [Column],
    tokens: Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        self.tokens.next()
    }

    /// Takes the next token, if it is this one.
    fn takes(&mut self, sign: &Sign) -> bool {
        self.tokens.next_if(|token| token.kind == *sign).is_some()
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.source, at, message)
    }

    fn any(&mut self) -> Result<Node, ParseError> {
        let mut nodes = vec![self.all()?];
        while self.takes(&Sign::Or) {
            nodes.push(self.all()?);
        }
        Ok(single_or(nodes, Node::Any))
    }

    fn all(&mut self) -> Result<Node, ParseError> {
        let mut nodes = vec![self.one()?];
        while self.takes(&Sign::And) {
            nodes.push(self.one()?);
        }
        Ok(single_or(nodes, Node::All))
    }

    fn one(&mut self) -> Result<Node, ParseError> {
        let Some(Token { at, kind }) = self.next() else {
            return Err(self.error(self.source.len(), "a column is missing"));
        };
        match kind {
            Sign::Not => {
                self.deeper(at)?;
                let node = self.one()?;
                self.depth -= 1;
                Ok(Node::Not(Box::new(node)))
            }
            Sign::Open => {
                self.deeper(at)?;
                let node = self.any()?;
                self.depth -= 1;
                if self.takes(&Sign::Close) {
                    return Ok(node);
                }
                let end = self.tokens.peek().map_or(self.source.len(), |token| token.at);
                Err(self.error(end, "a parenthesis is not closed"))
            }
            Sign::Word(name) => self.test(at, &name),
            _ => Err(self.error(at, format!("a column is missing; the columns are {}", self.names()))),
        }
    }

    fn deeper(&mut self, at: usize) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.error(at, "too many parentheses")) } else { Ok(()) }
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }

    /// A column, and what it is compared with.
    fn test(&mut self, at: usize, name: &str) -> Result<Node, ParseError> {
        let columns = self.columns;
        let place = find_column(columns, name).map_err(|error| self.error(at, error.to_string()))?;
        let column = &columns[place];
        let operator =
            self.tokens.next_if(|token| matches!(token.kind, Sign::Operator(_))).map(|token| token.kind);
        let Some(Sign::Operator(operator)) = operator else {
            if column.kind == Kind::Truth {
                return Ok(Node::Test { place, check: Check::Truth(true) });
            }
            let end = self.tokens.peek().map_or(self.source.len(), |token| token.at);
            return Err(self.error(end, format!("after {name} ==, !=, <, <=, >, >=, ~ or !~ is missing")));
        };
        let (at, literal) = match self.next() {
            Some(Token { at, kind: Sign::Word(word) }) => (at, Literal::Word(word)),
            Some(Token { at, kind: Sign::Quoted(text) }) => (at, Literal::Quoted(text)),
            other => {
                let at = other.map_or(self.source.len(), |token| token.at);
                let sign = operator.sign();
                return Err(self.error(at, format!("what {name} {sign} is missing; texts need quotes")));
            }
        };
        let check = check(column, operator, &literal).map_err(|message| self.error(at, message))?;
        let test = Node::Test { place, check };
        Ok(match operator {
            Operator::Unequal | Operator::Unlike => Node::Not(Box::new(test)),
            _ => test,
        })
    }
}

fn single_or(mut nodes: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(single) if nodes.is_empty() => single,
        last => {
            nodes.extend(last);
            many(nodes)
        }
    }
}

enum Literal {
    Word(String),
    Quoted(Vec<u8>),
}

impl Literal {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Word(word) => word.as_bytes(),
            Self::Quoted(text) => text,
        }
    }

    fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(self.bytes()).map_err(|_| "this is not UTF-8".to_owned())
    }
}

/// What an operator asks of a column; `!=` and `!~` ask the same as `==` and `~`.
fn check(column: &Column, operator: Operator, literal: &Literal) -> Result<Check, String> {
    let relation = match operator {
        Operator::Like | Operator::Unlike => return like(column, operator, literal.text()?),
        Operator::Equal | Operator::Unequal => Relation::Equal,
        Operator::Less => Relation::Less,
        Operator::AtMost => Relation::AtMost,
        Operator::More => Relation::More,
        Operator::AtLeast => Relation::AtLeast,
    };
    if relation != Relation::Equal && column.kind != Kind::Number {
        let Column { name, kind, .. } = column;
        return Err(format!("{} is for numbers, and the type of {name} is {}", operator.sign(), kind.name()));
    }
    if relation == Relation::Equal && matches!(literal, Literal::Word(word) if word == "null") {
        return Ok(Check::Nothing);
    }
    let wrong = |what: &str| {
        format!("{:?} is no {what}, which {} is", String::from_utf8_lossy(literal.bytes()), column.name)
    };
    match column.kind {
        Kind::Number => Number::parse(literal.text()?, column).map(|number| Check::Number(relation, number)),
        Kind::Text | Kind::Stack => Ok(Check::Text(literal.bytes().to_vec())),
        Kind::Error => match (literal.text()?, errno::parse(literal.text()?)) {
            // No error at all.
            ("0", _) => Ok(Check::Nothing),
            (_, Some(number)) => Ok(Check::Error(number)),
            (_, None) => Err(wrong("name of an error such as ENOENT")),
        },
        Kind::Address => Network::parse(literal.text()?)
            .map(Check::Network)
            .ok_or_else(|| wrong("address or network such as 10.0.0.0/8")),
        Kind::Truth => match literal.bytes() {
            b"true" | b"yes" => Ok(Check::Truth(true)),
            b"false" | b"no" => Ok(Check::Truth(false)),
            _ => Err(wrong("true or false")),
        },
    }
}

fn like(column: &Column, operator: Operator, pattern: &str) -> Result<Check, String> {
    if matches!(column.kind, Kind::Number | Kind::Truth) {
        let Column { name, kind, .. } = column;
        return Err(format!("{} is for text, and the type of {name} is {}", operator.sign(), kind.name()));
    }
    let regex = RegexBuilder::new(pattern).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build();
    // The last line says what is wrong, those above where.
    regex.map(Check::Like).map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("{pattern:?} is no regular expression: {reason}")
    })
}
