//! `--sort`: rows in the order of their columns' values.

use std::{cmp::Ordering, rc::Rc};

use crate::{
    error::Failure,
    output::{Column, Value, find_column},
};

/// What rows are sorted by: columns by their place, and whether the largest comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order(Vec<(usize, bool)>);

impl Order {
    /// Reads a list such as `-bytes,comm`.
    ///
    /// # Errors
    /// If there is no such column, with those there are.
    pub fn parse(list: &str, columns: &[Column]) -> Result<Self, Failure> {
        let place = |word: &str| {
            let (name, descending) = word.strip_prefix('-').map_or((word, false), |name| (name, true));
            let place =
                find_column(columns, name).map_err(|error| Failure::Usage(format!("--sort: {error}")))?;
            Ok((place, descending))
        };
        list.split(',').map(place).collect::<Result<_, _>>().map(Self)
    }

    /// Sorts rows; those that are equal stay in the order they came in.
    pub fn sort(&self, rows: &mut [Kept]) {
        rows.sort_by(|a, b| {
            let by = |&(place, descending): &(usize, bool)| {
                let order = compare(&a.cells[place].value(), &b.cells[place].value());
                if descending { order.reverse() } else { order }
            };
            self.0.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
    }
}

/// A row that waits for those after it.
#[derive(Debug)]
pub struct Kept {
    pub ns: u64,
    cells: Vec<Cell>,
}

/// A value that outlives what it was made from.
#[derive(Debug)]
pub enum Cell {
    Plain(Value<'static>),
    Text(Vec<u8>),
    Frames(Vec<Rc<str>>),
}

impl Kept {
    pub fn new(ns: u64, values: &[Value<'_>]) -> Self {
        Self { ns, cells: values.iter().map(Cell::new).collect() }
    }

    pub const fn of(ns: u64, cells: Vec<Cell>) -> Self {
        Self { ns, cells }
    }

    pub fn values(&self) -> Vec<Value<'_>> {
        self.cells.iter().map(Cell::value).collect()
    }
}

impl Cell {
    fn new(value: &Value<'_>) -> Self {
        match *value {
            Value::Text(text) => Self::Text(text.to_vec()),
            Value::Null => Self::Plain(Value::Null),
            Value::Bool(truth) => Self::Plain(Value::Bool(truth)),
            Value::Uint(number) => Self::Plain(Value::Uint(number)),
            Value::Int(number) => Self::Plain(Value::Int(number)),
            Value::Float(number, decimals) => Self::Plain(Value::Float(number, decimals)),
            Value::Errno(errno) => Self::Plain(Value::Errno(errno)),
            Value::Ip(address) => Self::Plain(Value::Ip(address)),
            Value::Frames(frames) => Self::Frames(frames.to_vec()),
        }
    }

    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Plain(value) => *value,
            Self::Text(text) => Value::Text(text),
            Self::Frames(frames) => Value::Frames(frames),
        }
    }
}

/// Compares values of a column; nothing is less than anything.
fn compare(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Ip(a), Value::Ip(b)) => a.cmp(b),
        (Value::Frames(a), Value::Frames(b)) => a.cmp(b),
        (Value::Uint(a), Value::Uint(b)) => a.cmp(b),
        _ => number(a).total_cmp(&number(b)),
    }
}

fn number(value: &Value<'_>) -> f64 {
    match *value {
        Value::Bool(truth) => f64::from(u8::from(truth)),
        Value::Uint(number) => number as f64,
        Value::Int(number) => number as f64,
        Value::Float(number, _) => number,
        Value::Errno(errno) => errno.into(),
        Value::Null | Value::Text(_) | Value::Ip(_) | Value::Frames(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::text("comm", 0, ""), Column::number("bytes", 0, ""), Column::number("avg_us", 0, "")];

    /// The names of rows in an order.
    fn sorted(list: &str) -> String {
        let row = |comm: &'static str, bytes, avg| {
            Kept::new(0, &[Value::Text(comm.as_bytes()), Value::Uint(bytes), avg])
        };
        let mut rows = [
            row("c", 9, Value::Float(0.5, 3)),
            row("a", 10, Value::Null),
            row("d", 10, Value::Float(12.0, 3)),
            row("b", 9, Value::Float(2.5, 3)),
        ];
        Order::parse(list, &COLUMNS).unwrap().sort(&mut rows);
        let name = |row: &Kept| match row.values()[0] {
            Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        rows.iter().map(name).collect()
    }

    #[test]
    fn rows_are_in_the_order_of_their_values() {
        assert_eq!(sorted("comm"), "abcd");
        assert_eq!(sorted("-comm"), "dcba");
        assert_eq!(sorted("bytes"), "cbad", "equals stay as they are");
        assert_eq!(sorted("-bytes,comm"), "adbc");
        assert_eq!(sorted("-avg_us"), "dbca", "nothing is less than anything");
    }

    #[test]
    fn unknown_columns_are_told_the_known_ones() {
        for list in ["", "pid", "bytes,", "bytes,-pid", "--bytes", "BYTES"] {
            let error = Order::parse(list, &COLUMNS).unwrap_err().to_string();
            assert!(error.contains("comm, bytes, avg_us"), "{list}: {error}");
        }
    }
}
