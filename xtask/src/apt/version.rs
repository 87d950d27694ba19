//! Debian's order of version numbers (deb-version(7)).

use std::cmp::Ordering;

/// Compare two version numbers as dpkg does.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a_epoch, a) = split_epoch(a);
    let (b_epoch, b) = split_epoch(b);
    let (a_upstream, a_revision) = split_revision(a);
    let (b_upstream, b_revision) = split_revision(b);
    a_epoch
        .cmp(&b_epoch)
        .then_with(|| compare_part(a_upstream, b_upstream))
        .then_with(|| compare_part(a_revision, b_revision))
}

/// The number that upstream gave the release: `1.95.0` of `1.95.0+dfsg1-2~bpo13+1`.
pub fn release(version: &str) -> &str {
    let (upstream, _) = split_revision(split_epoch(version).1);
    let end = upstream.find(|c: char| !c.is_ascii_digit() && c != '.');
    &upstream[..end.unwrap_or(upstream.len())]
}

fn split_epoch(version: &str) -> (u32, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

fn split_revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

/// Turn about, a run of characters that are no digits and a run of digits.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (a_text, a_rest) = split_run(a, |c| !c.is_ascii_digit());
        let (b_text, b_rest) = split_run(b, |c| !c.is_ascii_digit());
        let (a_digits, a_rest) = split_run(a_rest, |c| c.is_ascii_digit());
        let (b_digits, b_rest) = split_run(b_rest, |c| c.is_ascii_digit());
        let order = compare_text(a_text, b_text).then_with(|| compare_digits(a_digits, b_digits));
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    Ordering::Equal
}

fn split_run(text: &str, belongs: fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// A tilde sorts before the end, the end before letters, letters before all else.
fn compare_text(a: &str, b: &str) -> Ordering {
    let end = 0;
    let weigh = |c: char| match c {
        '~' => -1,
        'a'..='z' | 'A'..='Z' => c as i32,
        _ => c as i32 + 0x100,
    };
    let length = a.len().max(b.len());
    let weights = |text: &str| {
        let padding = std::iter::repeat_n(end, length);
        text.chars().map(weigh).chain(padding).take(length).collect::<Vec<i32>>()
    };
    weights(a).cmp(&weights(b))
}

/// Numbers of any length: without leading zeros, the longer one is the larger.
fn compare_digits(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_as_dpkg_does() {
        let ascending = [
            ["1.0~rc1", "1.0"],
            ["1.0", "1.0-1"],
            ["1.0-1", "1.0-1+b1"],
            ["1.0-2~bpo13+1", "1.0-2"],
            ["1.9", "1.10"],
            ["9.0", "1:1.0"],
            ["6.1.99-1", "6.1.192-2"],
            ["6.12.9-1", "6.12.117-1"],
            ["1.0a", "1.0+"],
            ["1.0~~", "1.0~"],
        ];
        for [a, b] in ascending {
            assert_eq!(compare(a, b), Ordering::Less, "{a} < {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} > {a}");
        }
        assert_eq!(compare("0:1.00-1", "1.0-1"), Ordering::Equal);
    }

    #[test]
    fn release_is_what_upstream_said() {
        assert_eq!(release("1.95.0+dfsg1-2~bpo13+1"), "1.95.0");
        assert_eq!(release("2:1.95.0-1"), "1.95.0");
        assert_eq!(release("1.95.0~beta.3-1"), "1.95.0");
        assert_eq!(release("6.1.192-2"), "6.1.192");
    }
}
