//! Text from the traced system, made harmless.
//!
//! Names, paths and arguments come from any process: a newline could forge a row, an escape
//! sequence could drive the terminal, a bidi override could show a path as another. Whatever is
//! not plainly printable is therefore escaped in every format:
//!
//! | text | table, CSV, TSV | JSON |
//! |---|---|---|
//! | backslash | `\\` | `\\` |
//! | newline, tab, carriage return | `\n` `\t` `\r` | `\n` `\t` `\r` |
//! | other ASCII control characters | `\xHH` | `\u00HH` |
//! | other control and format characters, blanks other than ASCII's | `\u{H…}` | `\uHHHH` |
//! | bytes that are not UTF-8 | `\xHH` | `\\xHH` |
//!
//! Both can be turned back into the bytes. In JSON, text that is UTF-8 is exact once parsed, and a
//! byte that is not UTF-8 is parsed as the four characters `\xHH`; where a text holds such four itself,
//! or those of the backslash, its backslash is `\x5c`.

use std::ops::RangeInclusive;

/// What becomes of the blanks inside a table's cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blanks {
    /// Written `\x20`, so that the cell is one field to awk.
    Escape,
    /// Kept, save those at the ends, which would not be seen.
    Keep,
}

/// Text as a table's cell: never empty, and never `-`, which is how a table shows nothing.
pub(super) fn cell(out: &mut Vec<u8>, text: &[u8], blanks: Blanks) {
    match text {
        b"" => out.extend_from_slice(b"\"\""),
        // What stands for nothing and for the empty text stands for nothing else.
        b"-" | b"\"\"" => {
            ascii_byte(out, text[0]);
            out.extend_from_slice(&text[1..]);
        }
        _ if blanks == Blanks::Escape => walk::<Cell>(out, text),
        _ => line_end(out, text),
    }
}

/// Text as it stands in CSV, in TSV and in messages.
pub fn text(out: &mut Vec<u8>, text: &[u8]) {
    walk::<Text>(out, text);
}

/// The functions of a stack, `outer;inner`.
pub fn frames<T: AsRef<str>>(out: &mut Vec<u8>, frames: &[T]) {
    for (index, frame) in frames.iter().enumerate() {
        if index > 0 {
            out.push(b';');
        }
        self::frame(out, frame.as_ref().as_bytes());
    }
}

/// A function of a stack, which others may follow.
pub fn frame(out: &mut Vec<u8>, name: &[u8]) {
    let start = out.len();
    text(out, name);
    out[start..].iter_mut().filter(|byte| **byte == b';').for_each(|byte| *byte = b':');
}

/// Text as the inside of a JSON string.
pub(super) fn json(out: &mut Vec<u8>, text: &[u8]) {
    walk::<Json>(out, text);
}

/// What the text of a JSON string that [`json`] has written was, once it is parsed.
#[must_use]
pub fn from_json(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        bytes.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match byte_in_json(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => bytes.push(b'\\'),
        }
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// The byte that a backslash and what follows it stand for in JSON's text: one that is not UTF-8, or a
/// backslash that others are to be told from.
fn byte_in_json(after: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let [b'x', high, low, ..] = after else { return None };
    let byte = digit(*high)? << 4 | digit(*low)?;
    (!byte.is_ascii() || byte == b'\\').then_some(byte)
}

/// Text with the blanks at its ends escaped.
fn line_end(out: &mut Vec<u8>, text: &[u8]) {
    let is_letter = |byte: &u8| *byte != b' ';
    let start = text.iter().position(is_letter).unwrap_or(text.len());
    let end = text.iter().rposition(is_letter).map_or(start, |last| last + 1);
    walk::<Cell>(out, &text[..start]);
    walk::<Text>(out, &text[start..end]);
    walk::<Cell>(out, &text[end..]);
}

/// A way of writing text.
trait Form {
    /// Whether an ASCII character stands for itself.
    fn is_plain(byte: u8) -> bool;
    /// Writes a character that does not, and after which this comes.
    fn char(out: &mut Vec<u8>, char: char, rest: &str);
    /// Writes a byte that is not UTF-8.
    fn byte(out: &mut Vec<u8>, byte: u8);
}

struct Text;
struct Cell;
struct Json;

impl Form for Text {
    fn is_plain(byte: u8) -> bool {
        is_printable(byte) & (byte != b'\\')
    }

    fn char(out: &mut Vec<u8>, char: char, _: &str) {
        match char {
            '\\' => out.extend_from_slice(br"\\"),
            '\n' => out.extend_from_slice(br"\n"),
            '\t' => out.extend_from_slice(br"\t"),
            '\r' => out.extend_from_slice(br"\r"),
            _ if char.is_ascii() => ascii_byte(out, char as u8),
            _ => out.extend(char.escape_unicode().map(|digit| digit as u8)),
        }
    }

    fn byte(out: &mut Vec<u8>, byte: u8) {
        ascii_byte(out, byte);
    }
}

impl Form for Cell {
    fn is_plain(byte: u8) -> bool {
        Text::is_plain(byte) & (byte != b' ')
    }

    fn char(out: &mut Vec<u8>, char: char, rest: &str) {
        Text::char(out, char, rest);
    }

    fn byte(out: &mut Vec<u8>, byte: u8) {
        Text::byte(out, byte);
    }
}

impl Form for Json {
    fn is_plain(byte: u8) -> bool {
        Text::is_plain(byte) & (byte != b'"')
    }

    fn char(out: &mut Vec<u8>, char: char, rest: &str) {
        match char {
            '"' => out.extend_from_slice(br#"\""#),
            '\\' if byte_in_json(rest.as_bytes()).is_some() => Self::byte(out, b'\\'),
            '\\' | '\n' | '\t' | '\r' => Text::char(out, char, rest),
            _ => utf16(out, char),
        }
    }

    fn byte(out: &mut Vec<u8>, byte: u8) {
        out.push(b'\\');
        ascii_byte(out, byte);
    }
}

/// Writes text in one of its forms: what stands for itself is copied in runs.
fn walk<F: Form>(out: &mut Vec<u8>, text: &[u8]) {
    // Nearly all text is plain; without a branch in the loop, the compiler makes it a vector's.
    if text.iter().fold(true, |plain, &byte| plain & F::is_plain(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        valid::<F>(out, chunk.valid());
        for &byte in chunk.invalid() {
            F::byte(out, byte);
        }
    }
}

fn valid<F: Form>(out: &mut Vec<u8>, text: &str) {
    let mut copied = 0;
    for (at, char) in text.char_indices() {
        let plain = match u8::try_from(char) {
            Ok(byte) if byte.is_ascii() => F::is_plain(byte),
            _ => !is_hidden(char),
        };
        if !plain {
            out.extend_from_slice(&text.as_bytes()[copied..at]);
            copied = at + char.len_utf8();
            F::char(out, char, &text[copied..]);
        }
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
}

fn is_printable(byte: u8) -> bool {
    (b' '..0x7f).contains(&byte)
}

/// `\xHH`
fn ascii_byte(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte)]);
}

/// `\uHHHH`, twice for a character that needs a pair of surrogates.
fn utf16(out: &mut Vec<u8>, char: char) {
    for unit in char.encode_utf16(&mut [0; 2]) {
        let [high, low] = unit.to_be_bytes();
        out.extend_from_slice(br"\u");
        out.extend([high >> 4, high, low >> 4, low].map(hex));
    }
}

/// The digit of a number's low four bits.
fn hex(number: u8) -> u8 {
    b"0123456789abcdef"[usize::from(number & 0xf)]
}

/// Whether a character is none that can be seen and told from others: control characters, format
/// characters (Cf) and what is ignored by default, blanks and line ends, non-characters.
fn is_hidden(char: char) -> bool {
    // Most letters of the world lie between the first few ranges.
    HIDDEN.iter().take_while(|range| *range.start() <= char).any(|range| range.contains(&char))
}

/// In ascending order; from Unicode 16's general categories Cc, Cf, Zs, Zl and Zp, and its property
/// Default_Ignorable_Code_Point.
const HIDDEN: &[RangeInclusive<char>] = &[
    '\u{7f}'..='\u{a0}',
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{115f}'..='\u{1160}',
    '\u{1680}'..='\u{1680}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{2000}'..='\u{200f}',
    '\u{2028}'..='\u{202f}',
    '\u{205f}'..='\u{206f}',
    '\u{3000}'..='\u{3000}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{fffe}'..='\u{ffff}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("escaped text is UTF-8")
    }

    /// The bytes that escaped text stands for, or None where it is no escaped text.
    fn unescape(escaped: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut rest = escaped.chars();
        while let Some(char) = rest.next() {
            match char {
                '\\' => bytes.extend(unescape_one(&mut rest)?),
                _ => bytes.extend(char.to_string().into_bytes()),
            }
        }
        Some(bytes)
    }

    fn unescape_one(rest: &mut std::str::Chars<'_>) -> Option<Vec<u8>> {
        Some(match rest.next()? {
            '\\' => vec![b'\\'],
            'n' => vec![b'\n'],
            't' => vec![b'\t'],
            'r' => vec![b'\r'],
            'x' => {
                let digits: String = rest.by_ref().take(2).collect();
                vec![u8::from_str_radix(&digits, 16).ok()?]
            }
            'u' => {
                let digits: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                let char = char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?;
                char.to_string().into_bytes()
            }
            _ => return None,
        })
    }

    /// Bytes of all kinds: any, text of any language, and text full of what is escaped.
    pub(in crate::output) fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let nasty = prop::sample::select(vec![
            "\\",
            "\\x20",
            "\\xff",
            "\\x5c",
            "\\x8",
            "xe9",
            "\\u{20}",
            "\n",
            "\t",
            "\r",
            "\x1b[2J",
            "\x07",
            "\0",
            "\x7f",
            "\u{9b}",
            "\u{202e}",
            "\u{200b}",
            "\u{2028}",
            "\u{feff}",
            "\u{e0041}",
            "\u{a0}",
            "\"",
            "\"\"",
            ",",
            "-",
            " ",
            "  ",
            "é",
            "語",
            "🦀",
            "{",
            "}",
            "a",
        ]);
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..24),
            any::<String>().prop_map(String::into_bytes),
            prop::collection::vec(nasty, 0..12).prop_map(|parts| parts.concat().into_bytes()),
        ]
    }

    fn is_harmless(text: &str) -> bool {
        !text.chars().any(|char| char.is_control() || is_hidden(char))
    }

    #[test]
    fn hidden_ranges_ascend() {
        assert!(HIDDEN.is_sorted_by(|a, b| a.end() < b.start()));
    }

    #[test]
    fn escapes_are_as_documented() {
        let text = |bytes: &[u8]| written(|out| super::text(out, bytes));
        assert_eq!(text(b"a\\b\n\t\r\x1b\x7f"), r"a\\b\n\t\r\x1b\x7f");
        assert_eq!(text("é\u{85}\u{202e}語".as_bytes()), r"é\u{85}\u{202e}語");
        assert_eq!(text(b"\xff a\xc3"), r"\xff a\xc3");
        let json = |bytes: &[u8]| written(|out| super::json(out, bytes));
        assert_eq!(json(b"a\\b\n\"\x1b\x7f\xff"), r#"a\\b\n\"\u001b\u007f\\xff"#);
        assert_eq!(json(br"\x41 \xFF \xff \x5c \xf"), r"\\x41 \\xFF \\x5cxff \\x5cx5c \\xf");
        assert_eq!(json("🦀\u{e0041}\u{2028}".as_bytes()), r"🦀\udb40\udc41\u2028");
    }

    #[test]
    fn cells_are_never_empty_nor_nothing() {
        let cell = |text: &str, blanks| written(|out| cell(out, text.as_bytes(), blanks));
        for blanks in [Blanks::Escape, Blanks::Keep] {
            assert_eq!(cell("", blanks), r#""""#);
            assert_eq!(cell("-", blanks), r"\x2d");
            assert_eq!(cell("\"\"", blanks), r#"\x22""#);
            assert_eq!(cell("--", blanks), "--");
        }
    }

    #[test]
    fn blanks_of_the_last_cell_are_kept_inside_only() {
        let cell = |text: &str, blanks| written(|out| cell(out, text.as_bytes(), blanks));
        assert_eq!(cell(" a  b ", Blanks::Keep), r"\x20a  b\x20");
        assert_eq!(cell(" a  b ", Blanks::Escape), r"\x20a\x20\x20b\x20");
        assert_eq!(cell("  ", Blanks::Keep), r"\x20\x20");
    }

    proptest! {
        #[test]
        fn text_is_harmless_and_turns_back(bytes in hostile()) {
            let escaped = written(|out| text(out, &bytes));
            prop_assert!(is_harmless(&escaped));
            prop_assert_eq!(unescape(&escaped), Some(bytes));
        }

        #[test]
        fn cells_are_harmless_and_turn_back(bytes in hostile(), keep in any::<bool>()) {
            let blanks = if keep { Blanks::Keep } else { Blanks::Escape };
            let escaped = written(|out| cell(out, &bytes, blanks));
            prop_assert!(is_harmless(&escaped));
            prop_assert!(keep || !escaped.contains(' '));
            prop_assert_eq!(escaped.trim(), &escaped);
            if bytes.is_empty() {
                prop_assert_eq!(escaped, "\"\"");
            } else {
                prop_assert_eq!(unescape(&escaped), Some(bytes));
            }
        }

        #[test]
        fn json_is_harmless_and_exact(bytes in hostile()) {
            let escaped = written(|out| json(out, &bytes));
            prop_assert!(is_harmless(&escaped));
            let parsed: String = serde_json::from_str(&format!("\"{escaped}\"")).unwrap();
            prop_assert_eq!(&from_json(&parsed), &bytes);
            if let Ok(text) = String::from_utf8(bytes)
                && !text.contains("\\x")
            {
                prop_assert_eq!(parsed, text);
            }
        }
    }
}
