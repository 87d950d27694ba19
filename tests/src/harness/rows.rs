//! What rows must be.

use std::{collections::BTreeSet, fmt::Debug};

use super::{Context, Result, Value, ensure, json};

/// Compares, and says what was compared.
#[expect(clippy::needless_pass_by_value, reason = "values are written where they are compared")]
pub fn equal<T: PartialEq<U> + Debug, U: Debug>(what: &str, got: T, want: U) -> Result<()> {
    ensure!(got == want, "{what}: expected {want:?}, got {got:?}");
    Ok(())
}

/// Rows of JSON, which `ts` comes first in.
pub fn parse(text: &str) -> Result<Vec<Value>> {
    let row = |line: &str| {
        ensure!(line.starts_with("{\"ts\":\""), "no ts comes first in {line:?}");
        serde_json::from_str(line).with_context(|| format!("not JSON: {line:?}"))
    };
    ensure!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
    text.lines().map(row).collect()
}

/// Each row has exactly `ts` and these keys.
pub fn have_keys(rows: &[Value], keys: &[&str]) -> Result<()> {
    let want: BTreeSet<&str> = keys.iter().copied().chain(["ts"]).collect();
    for row in rows {
        let keys = row.as_object().context("not an object")?.keys();
        equal("keys", &keys.map(String::as_str).collect::<BTreeSet<_>>(), &want)?;
        ensure!(is_time(text(row, "ts")), "not a time: {}", row["ts"]);
    }
    Ok(())
}

/// Whether a text is a time as RFC 3339 has it, in UTC, with microseconds.
pub fn is_time(text: &str) -> bool {
    const FORM: &str = "dddd-dd-ddTdd:dd:dd.ddddddZ";
    let fits = |(form, byte): (u8, u8)| match form {
        b'd' => byte.is_ascii_digit(),
        _ => byte == form,
    };
    text.len() == FORM.len() && FORM.bytes().zip(text.bytes()).all(fits)
}

/// The seconds since midnight, UTC, of a row's `ts`.
pub fn seconds_of_day(row: &Value) -> Result<f64> {
    let time = text(row, "ts");
    ensure!(is_time(time), "not a time: {time:?}");
    let field = |at: usize, len: usize| time[at..at + len].parse::<f64>();
    Ok(field(11, 2)? * 3600. + field(14, 2)? * 60. + field(17, 9)?)
}

pub fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or("")
}

pub fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or(0)
}

/// Whether a stack's innermost functions are these.
pub fn ends_with(stack: &Value, names: &[&str]) -> bool {
    stack
        .as_array()
        .is_some_and(|stack| stack.ends_with(&names.iter().map(|name| json!(name)).collect::<Vec<_>>()))
}

/// The rows of an account.
pub fn wanted(account: &Value) -> Result<&Vec<Value>> {
    account["rows"].as_array().context("the account has no rows")
}

/// The rows are those of the account, in order; what the account does not speak of can be anything.
pub fn are(got: &[Value], want: &[Value]) -> Result<()> {
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        for (key, want) in want.as_object().context("not an object")? {
            let is_same = normal(key, &got[key]) == normal(key, want);
            ensure!(is_same, "row {index}: expected {key} to be {}, got {}", brief(want), brief(got));
        }
    }
    let first_extra = got.get(want.len());
    ensure!(got.len() == want.len(), "{}", {
        let extra = first_extra.map_or(String::new(), |row| format!(", the first extra is {}", brief(row)));
        format!("expected {} rows, got {}{extra}", want.len(), got.len())
    });
    Ok(())
}

/// As much of a value as a reader wants to see of it.
fn brief(value: &Value) -> String {
    const MOST: usize = 600;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

/// The rows are those of the account, in any order.
pub fn are_in_any_order(got: &[Value], want: &[Value], by: &[&str]) -> Result<()> {
    let sorted = |rows: &[Value]| {
        let mut rows = rows.to_vec();
        rows.sort_by_cached_key(|row| by.iter().map(|key| key_text(row, key)).collect::<String>());
        rows
    };
    are(&sorted(got), &sorted(want))
}

fn key_text(row: &Value, key: &str) -> String {
    format!("{:>24}", row[key].to_string())
}

/// Flags are a set, so their order does not count.
fn normal(key: &str, value: &Value) -> Value {
    match value.as_str() {
        Some(flags) if key == "flags" => {
            let mut flags: Vec<_> = flags.split('|').collect();
            flags.sort_unstable();
            flags.join("|").into()
        }
        _ => value.clone(),
    }
}

/// The rows of one process.
pub fn of_pid(rows: &[Value], pid: u32) -> Vec<Value> {
    with(rows, "pid", &pid.into())
}

/// The rows with a key of this value.
pub fn with(rows: &[Value], key: &str, value: &Value) -> Vec<Value> {
    rows.iter().filter(|row| row[key] == *value).cloned().collect()
}

/// The sum of a column.
pub fn sum(rows: &[Value], key: &str) -> u64 {
    rows.iter().map(|row| number(row, key)).sum()
}

/// A histogram agrees with itself: buckets are powers of two side by side, and hold its count.
pub fn is_histogram(row: &Value) -> Result<()> {
    let buckets = row["buckets"].as_array().context("no buckets")?;
    equal("the buckets' sum", sum(buckets, "count"), number(row, "count"))?;
    for bucket in buckets {
        let (from, to) = (number(bucket, "from"), number(bucket, "to"));
        let is_power = from == 0 && to == 1 || from.is_power_of_two() && to == from * 2 - 1;
        ensure!(is_power, "not a power of two: {bucket}");
    }
    for pair in buckets.windows(2) {
        equal("the next bucket", number(&pair[1], "from"), number(&pair[0], "to") + 1)?;
    }
    let ends = [buckets.first(), buckets.last()];
    let none_is_empty = ends.iter().flatten().all(|bucket| number(bucket, "count") > 0);
    ensure!(none_is_empty, "an empty bucket at an end: {row}");
    let marks = ["p50", "p90", "p99", "max"].map(|key| number(row, key));
    ensure!(marks.is_sorted(), "percentiles out of order: {row}");
    let bounds = [buckets.first().map(|b| number(b, "from")), buckets.last().map(|b| number(b, "to"))];
    if let [Some(low), Some(high)] = bounds {
        let inside = marks.iter().all(|mark| (low..=high).contains(mark));
        ensure!(inside, "percentiles outside of the buckets: {row}");
    }
    Ok(())
}

/// Output that no traced process can have forged: lines of printable characters.
pub fn are_harmless(text: &str, line_breaks: &[char]) -> Result<()> {
    let is_harmful = |char: &char| {
        let is_bidi =
            matches!(char, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let is_break = matches!(char, '\u{2028}' | '\u{2029}');
        (char.is_control() || is_bidi || is_break) && !line_breaks.contains(char)
    };
    match text.chars().find(is_harmful) {
        Some(char) => Err(anyhow::anyhow!("stdout holds {char:?}")),
        None => Ok(()),
    }
}

/// The records of CSV (RFC 4180).
pub fn csv(text: &str) -> Result<Vec<Vec<String>>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            _ => field.push(char),
        }
    }
    ensure!(!quoted && record.is_empty() && field.is_empty(), "CSV ends within a record");
    Ok(records)
}

/// The records of TSV.
pub fn tsv(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split('\t').map(String::from).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::json;

    fn histogram(buckets: &Value, count: u64) -> Value {
        json!({ "count": count, "p50": 2, "p90": 3, "p99": 3, "max": 3, "buckets": buckets })
    }

    #[test]
    fn times_have_one_form() {
        assert!(is_time("2026-01-02T03:04:05.678901Z"));
        for wrong in
            ["2026-01-02T03:04:05Z", "2026-01-02 03:04:05.678901Z", "2026-01-02T03:04:05.678901+00:00"]
        {
            assert!(!is_time(wrong), "{wrong}");
        }
    }

    #[test]
    fn rows_are_compared_by_what_the_account_says() {
        let want = [json!({ "pid": 1, "flags": "A|B" })];
        assert!(are(&[json!({ "pid": 1, "flags": "B|A", "fd": 3 })], &want).is_ok());
        assert!(are(&[json!({ "pid": 1, "flags": "B" })], &want).is_err());
        assert!(are(&[], &want).is_err());
        assert!(are(&[want[0].clone(), want[0].clone()], &want).is_err());
    }

    #[test]
    fn histograms_must_agree_with_themselves() {
        let bucket = |from: u64, to: u64, count: u64| json!({ "from": from, "to": to, "count": count });
        let of = |buckets: &[Value], count| is_histogram(&histogram(&json!(buckets), count));
        assert!(of(&[bucket(2, 3, 5)], 5).is_ok());
        assert!(of(&[bucket(2, 3, 5)], 6).is_err(), "another sum");
        assert!(of(&[bucket(2, 4, 5)], 5).is_err(), "no power of two");
        assert!(of(&[bucket(2, 3, 5), bucket(8, 15, 1)], 6).is_err(), "a gap");
        assert!(of(&[bucket(0, 1, 0), bucket(2, 3, 5)], 5).is_err(), "an empty end");
        assert!(of(&[bucket(4, 7, 5)], 5).is_err(), "percentiles elsewhere");
    }

    #[test]
    fn csv_is_read_as_it_is_written() {
        let text = "a,b\n\"1,\"\"x\"\"\",\n";
        assert_eq!(csv(text).unwrap(), [["a", "b"], ["1,\"x\"", ""]]);
        assert!(csv("a,\"b").is_err());
    }

    #[test]
    fn harm_is_seen() {
        assert!(are_harmless("plain \u{3042}\n", &['\n']).is_ok());
        for harm in ["\x1b[2J", "\u{9b}", "\u{202e}", "\r", "\t"] {
            assert!(are_harmless(harm, &['\n']).is_err(), "{harm:?}");
        }
    }
}
