//! What values are compared with: numbers with units, networks.

use std::{cmp::Ordering, net::IpAddr};

use crate::output::{Column, Value};

/// Digits of a number: as many as the largest value has, so that no product overflows.
const MAX_DIGITS: usize = 20;

const TIMES: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const SIZES: &[(&str, i128)] = &[
    ("b", 1),
    ("bytes", 1),
    ("k", 1 << 10),
    ("kb", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1 << 30),
    ("gib", 1 << 30),
];

/// A number, exact if it is whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(i128),
    Real(f64),
}

impl Number {
    /// Reads a number such as `10`, `1.5`, `10ms` or `4k` in the unit of a column.
    pub(super) fn parse(text: &str, column: &Column) -> Result<Self, String> {
        let none = || format!("{text:?} is no number, which {} is", column.name);
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, unit) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if whole.is_empty() || number.ends_with('.') || digits.len() > MAX_DIGITS {
            return Err(none());
        }
        let digits: i128 = digits.parse().map_err(|_| none())?;
        let (factor, divisor) = scale(unit, column).ok_or_else(|| wrong_unit(text, column))?;
        let divisor = divisor * 10_i128.pow(fraction.len() as u32);
        let product = if negative { -digits * factor } else { digits * factor };
        Ok(if product % divisor == 0 {
            Self::Whole(product / divisor)
        } else {
            Self::Real(product as f64 / divisor as f64)
        })
    }

    /// How a value is to this number; none, if it is no number.
    pub(super) fn compare(self, value: Value<'_>) -> Option<Ordering> {
        match (value, self) {
            (Value::Uint(value), Self::Whole(number)) => Some(i128::from(value).cmp(&number)),
            (Value::Int(value), Self::Whole(number)) => Some(i128::from(value).cmp(&number)),
            (Value::Uint(value), Self::Real(number)) => (value as f64).partial_cmp(&number),
            (Value::Int(value), Self::Real(number)) => (value as f64).partial_cmp(&number),
            (Value::Float(value, _), number) => value.partial_cmp(&number.real()),
            _ => None,
        }
    }

    pub(super) const fn real(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }
}

/// What to multiply and to divide a number by, to have it in a column's unit.
fn scale(unit: &str, column: &Column) -> Option<(i128, i128)> {
    let own = column.unit.unwrap_or_default();
    if unit.is_empty() || unit == own {
        return Some((1, 1));
    }
    let in_table = |table: &[(&str, i128)], unit: &str| {
        table.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)).map(|(_, factor)| *factor)
    };
    let table = [TIMES, SIZES].into_iter().find(|table| in_table(table, own).is_some())?;
    Some((in_table(table, unit)?, in_table(table, own)?))
}

fn wrong_unit(text: &str, column: &Column) -> String {
    match column.unit {
        Some(unit) => format!("{text:?} is no number of {unit}, which {} is in", column.name),
        None => format!("{text:?} is no number without a unit, which {} is", column.name),
    }
}

/// An address, or all that begin with so many of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `127.0.0.1`, `10.0.0.0/8`, `fe80::/10`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).ok().filter(|bits| *bits <= all)?;
        Some(Self { address, bits })
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        let differ = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                u128::from(own.to_bits() ^ other.to_bits()) << (u128::BITS - u32::BITS)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        differ.leading_zeros() >= u32::from(self.bits)
    }
}
