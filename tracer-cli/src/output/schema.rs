//! What a tool prints: its columns, and the values of a row.

use std::{net::IpAddr, rc::Rc};

use super::options::Format;

/// The side of a table's column at which its values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// What a column's values are, which a filter has to know before it sees any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    Text,
    /// The name of an errno.
    Error,
    /// An IP address.
    Address,
    /// Yes or no.
    Truth,
    /// Functions that called each other.
    Stack,
}

impl Kind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "text",
            Self::Error => "error",
            Self::Address => "address",
            Self::Truth => "boolean",
            Self::Stack => "stack",
        }
    }
}

/// Where a column is unless the user says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Everywhere,
    /// In JSON, CSV and TSV only.
    NotInTable,
    /// Nowhere, unless it is asked for.
    WhenAsked,
}

/// A column of a tool: the one description that the table, JSON, CSV, TSV, `--help` and the
/// documentation are made from.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its JSON key and CSV field; in upper case the table's heading.
    pub name: &'static str,
    /// The width in a table that most values fit; longer ones move what follows.
    pub width: usize,
    pub align: Align,
    /// The unit of its numbers, such as `us`.
    pub unit: Option<&'static str>,
    /// One line for people.
    pub about: &'static str,
    pub kind: Kind,
    pub shown: Shown,
    /// Whether the filter flag of its name, such as `--pid`, asks for the same values.
    pub is_flags: bool,
}

impl Column {
    const fn of(kind: Kind, name: &'static str, width: usize, about: &'static str) -> Self {
        let align = if matches!(kind, Kind::Number) { Align::Right } else { Align::Left };
        Self { name, width, align, unit: None, about, kind, shown: Shown::Everywhere, is_flags: true }
    }

    /// A column of text and names.
    pub const fn text(name: &'static str, width: usize, about: &'static str) -> Self {
        Self::of(Kind::Text, name, width, about)
    }

    /// A column of numbers.
    pub const fn number(name: &'static str, width: usize, about: &'static str) -> Self {
        Self::of(Kind::Number, name, width, about)
    }

    /// A column of errnos by their names.
    pub const fn error(name: &'static str, width: usize, about: &'static str) -> Self {
        Self::of(Kind::Error, name, width, about)
    }

    /// A column of IP addresses.
    pub const fn address(name: &'static str, width: usize, about: &'static str) -> Self {
        Self::of(Kind::Address, name, width, about)
    }

    /// A column of yes or no.
    pub const fn truth(name: &'static str, width: usize, about: &'static str) -> Self {
        Self::of(Kind::Truth, name, width, about)
    }

    /// A column of stacks.
    pub const fn stack(name: &'static str, width: usize, about: &'static str) -> Self {
        Self::of(Kind::Stack, name, width, about)
    }

    pub fn is_stack(&self) -> bool {
        self.kind == Kind::Stack
    }

    /// The same column, measured in `unit`.
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// The same column, left out of the default table.
    pub const fn hidden(mut self) -> Self {
        self.shown = Shown::NotInTable;
        self
    }

    /// The same column, which is only there when it is asked for.
    pub const fn when_asked(mut self) -> Self {
        self.shown = Shown::WhenAsked;
        self
    }

    /// The same column, whose values are others than the filter flag of its name asks for.
    pub const fn unlike_flag(mut self) -> Self {
        self.is_flags = false;
        self
    }

    /// Whether a form of the output has it by default.
    #[must_use]
    pub fn is_in(&self, format: Format) -> bool {
        match self.shown {
            Shown::Everywhere => true,
            Shown::NotInTable => format != Format::Table,
            Shown::WhenAsked => false,
        }
    }
}

/// One value of a row.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Nothing: `-` in a table, `null` in JSON, an empty field in CSV and TSV.
    Null,
    /// `yes` or `-` in a table, else `true` or `false`.
    Bool(bool),
    Uint(u64),
    Int(i64),
    /// A number with so many decimals; one that is not finite is written as [`Value::Null`].
    Float(f64, u8),
    /// Bytes from the traced system: hostile, and escaped wherever they are written.
    Text(&'a [u8]),
    /// An errno by its name, or by its number where it has none; 0 is written as [`Value::Null`].
    Errno(i32),
    Ip(IpAddr),
    /// Functions of a stack, the outermost first: a list in JSON, else `a;b;c`.
    Frames(&'a [Rc<str>]),
}

impl Value<'_> {
    /// The value with the special cases of "nothing" made [`Value::Null`].
    pub fn normal(self) -> Self {
        match self {
            Value::Errno(0) => Value::Null,
            Value::Frames([]) => Value::Null,
            Value::Float(number, _) if !number.is_finite() => Value::Null,
            other => other,
        }
    }
}
