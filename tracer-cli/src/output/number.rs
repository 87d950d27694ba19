//! Numbers and addresses as text, the same in every format.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
};

/// More decimals than this are not written: a nanosecond's share of a second.
const MAX_DECIMALS: u8 = 9;

pub(super) fn uint(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn int(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A finite number, rounded to so many decimals.
pub(super) fn float(out: &mut Vec<u8>, number: f64, decimals: u8) {
    /// Every whole number below is a double.
    const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

    let decimals = decimals.min(MAX_DECIMALS);
    let scaled = (number * power_of_ten(decimals) as f64).round();
    if scaled.abs() < EXACT {
        fixed(out, scaled as i64, decimals);
    } else {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{number:.*}", usize::from(decimals));
    }
}

/// Microseconds as seconds with six decimals.
pub(super) fn seconds(out: &mut Vec<u8>, micros: i64) {
    fixed(out, micros, 6);
}

/// `scaled` divided by so many powers of ten.
fn fixed(out: &mut Vec<u8>, scaled: i64, decimals: u8) {
    if scaled < 0 {
        out.push(b'-');
    }
    let magnitude = scaled.unsigned_abs();
    let unit = power_of_ten(decimals);
    uint(out, magnitude / unit);
    if decimals > 0 {
        out.push(b'.');
        zero_padded(out, magnitude % unit, decimals);
    }
}

/// The last `width` digits of a number.
pub(super) fn zero_padded(out: &mut Vec<u8>, number: u64, width: u8) {
    let start = out.len();
    out.resize(start + usize::from(width), b'0');
    let mut rest = number;
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn power_of_ten(exponent: u8) -> u64 {
    10_u64.pow(u32::from(exponent))
}

pub(super) fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => ipv4(out, address),
        IpAddr::V6(address) => {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "{address}");
        }
    }
}

fn ipv4(out: &mut Vec<u8>, address: Ipv4Addr) {
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        uint(out, u64::from(octet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_have_their_decimals() {
        let float = |number, decimals| written(|out| float(out, number, decimals));
        assert_eq!(float(0.0, 3), "0.000");
        assert_eq!(float(-0.0, 3), "0.000");
        assert_eq!(float(1.0625, 3), "1.063");
        assert_eq!(float(-1.25, 1), "-1.3");
        assert_eq!(float(-0.0001, 3), "0.000");
        assert_eq!(float(12.5, 0), "13");
        assert_eq!(float(1e20, 2), "100000000000000000000.00");
        assert_eq!(float(0.5, 200), "0.500000000");
    }

    #[test]
    fn seconds_keep_their_sign() {
        assert_eq!(written(|out| seconds(out, 1_000_042)), "1.000042");
        assert_eq!(written(|out| seconds(out, -42)), "-0.000042");
        assert_eq!(written(|out| seconds(out, i64::MIN)), "-9223372036854.775808");
    }

    #[test]
    fn addresses_are_as_the_standard_library_has_them() {
        for text in ["127.0.0.1", "255.255.255.0", "::1", "fe80::1:2"] {
            assert_eq!(written(|out| ip(out, text.parse().unwrap())), text);
        }
    }
}
