//! What a tool prints: its columns, and the values of a row.

use std::{net::IpAddr, rc::Rc};

/// The side of a table's column at which its values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A column of a tool: the one description that the table, JSON, CSV, TSV, `--help` and the
/// documentation are made from.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its JSON key and CSV field; in upper case the table's heading.
    pub name: &'static str,
    /// The width in a table that most values fit; longer ones are never cut.
    pub width: usize,
    pub align: Align,
    /// The unit of its numbers, such as `us`.
    pub unit: Option<&'static str>,
    /// One line for people.
    pub about: &'static str,
    /// Whether the default table has it; JSON, CSV and TSV have every column.
    pub shown: bool,
}

impl Column {
    /// A column of text, names or addresses.
    pub const fn text(name: &'static str, width: usize, about: &'static str) -> Self {
        Self { name, width, align: Align::Left, unit: None, about, shown: true }
    }

    /// A column of numbers.
    pub const fn number(name: &'static str, width: usize, about: &'static str) -> Self {
        let mut column = Self::text(name, width, about);
        column.align = Align::Right;
        column
    }

    /// The same column, measured in `unit`.
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// The same column, left out of the default table.
    pub const fn hidden(mut self) -> Self {
        self.shown = false;
        self
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
    pub(super) fn normal(self) -> Self {
        match self {
            Value::Errno(0) => Value::Null,
            Value::Frames([]) => Value::Null,
            Value::Float(number, _) if !number.is_finite() => Value::Null,
            other => other,
        }
    }
}
