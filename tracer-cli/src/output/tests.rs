//! What the formats look like, and what hostile text can do to them.

use std::{path::Path, sync::atomic::AtomicBool};

use proptest::prelude::*;

use super::{escape::tests::hostile, *};

static STOP: AtomicBool = AtomicBool::new(false);

/// 2026-01-02T15:04:05.123456Z on the kernel's clock of the tests.
const TIME_NS: u64 = 5_000_000_000;
const CLOCK: Clock = Clock::fixed(1_767_366_240_123_456_000, 4_000_000_000);

fn columns() -> Vec<Column> {
    vec![
        Column::number("pid", 7, "process"),
        Column::number("tid", 7, "thread").hidden(),
        Column::text("comm", 15, "command name"),
        Column::number("age_ms", 8, "age").unit("ms"),
        Column::text("error", 8, "error"),
        Column::text("ok", 3, "whether it is well"),
        Column::text("daddr", 15, "address"),
        Column::text("path", 10, "path"),
    ]
}

fn row<'a>(comm: &'a [u8], path: &'a [u8]) -> [Value<'a>; 8] {
    [
        Value::Uint(1234),
        Value::Int(-1),
        Value::Text(comm),
        Value::Float(1.5, 3),
        Value::Errno(libc::ENOENT),
        Value::Bool(true),
        Value::Ip([127, 0, 0, 1].into()),
        Value::Text(path),
    ]
}

const NOTHING: [Value<'_>; 8] = [
    Value::Null,
    Value::Null,
    Value::Text(b""),
    Value::Float(f64::NAN, 3),
    Value::Errno(0),
    Value::Bool(false),
    Value::Null,
    Value::Null,
];

fn printer(columns: &[Column], format: Format, time: TimeColumn) -> Printer {
    let sink = Sink::open(Path::new("/dev/null"), &STOP).unwrap();
    let options = Options { format, time, header: true, wide: true };
    let layout = Layout::new(columns, format, None).unwrap();
    Printer::new(sink, layout, options, CLOCK)
}

fn printed(printer: &Printer) -> &str {
    std::str::from_utf8(&printer.out).expect("output is UTF-8")
}

/// The line of one row.
fn line(format: Format, values: &[Value<'_>]) -> String {
    let mut printer = printer(&columns(), format, TimeColumn::Off);
    printer.header_due = false;
    printer.row(TIME_NS, values);
    printed(&printer).to_owned()
}

fn sample() -> Histogram {
    let mut histogram = Histogram::new("us");
    for value in [2, 3, 3, 9, 9, 9, 9, 9] {
        histogram.record(value);
    }
    histogram
}

fn check_rows(format: Format, time: TimeColumn, expected: &str) {
    let mut printer = printer(&columns(), format, time);
    printer.row(TIME_NS, &row(b"my\tcomm", "/a b, \"é\"".as_bytes()));
    printer.row(TIME_NS + 1_000_000, &NOTHING);
    assert_eq!(printed(&printer), expected);
}

#[test]
fn stacks_stand_beneath_their_row() {
    let columns = [
        Column::number("pid", 7, ""),
        Column::stack("user_stack", 30, ""),
        Column::text("path", 0, ""),
        Column::stack("kernel_stack", 30, ""),
    ];
    let frames = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<std::rc::Rc<str>>>();
    let user = frames(&["main", "a<b, c>::d;e", "      1 forged\n      2 row"]);
    let kernel = frames(&["entry", "do_open"]);
    let values =
        |user, kernel| [Value::Uint(1), Value::Frames(user), Value::Text(b"/x y"), Value::Frames(kernel)];
    let print = |format| {
        let mut printer = printer(&columns, format, TimeColumn::Off);
        printer.row(TIME_NS, &values(&user, &kernel));
        printer.row(TIME_NS, &values(&[], &kernel));
        printed(&printer).to_owned()
    };
    let table = "    PID PATH
      1 /x y
    kernel do_open
    kernel entry
    user         1 forged\\n      2 row
    user   a<b, c>::d;e
    user   main
      1 /x y
    kernel do_open
    kernel entry
";
    assert_eq!(print(Format::Table), table);
    let csv = print(Format::Csv);
    let second = csv.lines().nth(1).unwrap();
    assert!(
        second.ends_with(r#",1,"main;a<b, c>::d:e;      1 forged\n      2 row",/x y,entry;do_open"#),
        "{csv}"
    );
    let json = print(Format::Json);
    let second = json.lines().nth(1).unwrap();
    assert!(
        second.ends_with(r#""user_stack":null,"path":"/x y","kernel_stack":["entry","do_open"]}"#),
        "{json}"
    );
}

#[test]
fn table() {
    check_rows(
        Format::Table,
        TimeColumn::Off,
        concat!(
            "    PID COMM              AGE_MS ERROR    OK  DADDR           PATH\n",
            "   1234 my\\tcomm           1.500 ENOENT   yes 127.0.0.1       /a b, \"é\"\n",
            "      - \"\"                     - -        -   -               -\n",
        ),
    );
}

#[test]
fn a_table_fits_its_terminal() {
    let columns = [Column::number("pid", 5, ""), Column::text("path", 0, "")];
    let fitted = |columns: &[Column], width, path: &str| {
        let mut printer = printer(columns, Format::Table, TimeColumn::Off);
        (printer.header_due, printer.fit) = (false, Some(width));
        printer.row(TIME_NS, &[Value::Uint(7), Value::Text(path.as_bytes())]);
        printed(&printer).to_owned()
    };
    assert_eq!(fitted(&columns, 11, "/a/bc"), "    7 /a/bc\n", "what fits is whole");
    assert_eq!(fitted(&columns, 10, "/a/bc"), "    7 /a/…\n");
    assert_eq!(fitted(&columns, 10, "äöüßx"), "    7 äöü…\n", "characters count, not bytes");
    assert_eq!(fitted(&columns, 7, "/a/bc"), "    7 …\n");
    assert_eq!(fitted(&columns, 6, "/a/bc"), "    7 /a/bc\n", "no room for anything");
    let reversed = [Column::text("path", 0, ""), Column::number("pid", 5, "")];
    let mut printer = printer(&reversed, Format::Table, TimeColumn::Off);
    (printer.header_due, printer.fit) = (false, Some(8));
    printer.row(TIME_NS, &[Value::Text(b"/a/bc"), Value::Uint(1234)]);
    assert_eq!(printed(&printer), "/a/bc  1234\n", "half a number would be another");
}

#[test]
fn table_with_times() {
    check_rows(
        Format::Table,
        TimeColumn::Delta,
        concat!(
            "         TIME     PID COMM              AGE_MS ERROR    OK  DADDR           PATH\n",
            "     0.000000    1234 my\\tcomm           1.500 ENOENT   yes 127.0.0.1       /a b, \"é\"\n",
            "     0.001000       - \"\"                     - -        -   -               -\n",
        ),
    );
}

#[test]
fn json() {
    check_rows(
        Format::Json,
        TimeColumn::Rel,
        concat!(
            r#"{"ts":"2026-01-02T15:04:05.123456Z","pid":1234,"tid":-1,"comm":"my\tcomm","#,
            r#""age_ms":1.500,"error":"ENOENT","ok":true,"daddr":"127.0.0.1","path":"/a b, \"é\""}"#,
            "\n",
            r#"{"ts":"2026-01-02T15:04:05.124456Z","pid":null,"tid":null,"comm":"","#,
            r#""age_ms":null,"error":null,"ok":false,"daddr":null,"path":null}"#,
            "\n",
        ),
    );
}

#[test]
fn csv() {
    check_rows(
        Format::Csv,
        TimeColumn::Off,
        concat!(
            "ts,pid,tid,comm,age_ms,error,ok,daddr,path\n",
            r#"2026-01-02T15:04:05.123456Z,1234,-1,my\tcomm,1.500,ENOENT,true,127.0.0.1,"/a b, ""é""""#,
            "\n",
            "2026-01-02T15:04:05.124456Z,,,\"\",,,false,,\n",
        ),
    );
}

#[test]
fn tsv() {
    check_rows(
        Format::Tsv,
        TimeColumn::Off,
        concat!(
            "ts\tpid\ttid\tcomm\tage_ms\terror\tok\tdaddr\tpath\n",
            "2026-01-02T15:04:05.123456Z\t1234\t-1\tmy\\tcomm\t1.500\tENOENT\ttrue\t127.0.0.1\t/a b, \"é\"\n",
            "2026-01-02T15:04:05.124456Z\t\t\t\t\t\tfalse\t\t\n",
        ),
    );
}

#[test]
fn errors_without_a_name_are_numbers() {
    let columns = || vec![Column::text("error", 8, "")];
    for (format, expected) in [(Format::Table, "\n999\n"), (Format::Json, ",\"error\":\"999\"}\n")] {
        let mut printer = printer(&columns(), format, TimeColumn::Off);
        printer.row(TIME_NS, &[Value::Errno(999)]);
        assert!(printed(&printer).ends_with(expected));
    }
}

#[test]
fn long_values_are_not_cut() {
    let long = "x".repeat(100);
    assert!(line(Format::Table, &row(long.as_bytes(), b"path")).contains(&format!(" {long} ")));
}

#[test]
fn numbers_of_the_last_column_are_aligned() {
    let columns = vec![Column::number("read", 8, ""), Column::number("rmdir", 8, "")];
    let mut printer = printer(&columns, Format::Table, TimeColumn::Off);
    printer.row(TIME_NS, &[Value::Uint(1), Value::Uint(2)]);
    assert_eq!(printed(&printer), "    READ    RMDIR\n       1        2\n");
}

#[test]
fn the_header_comes_once_or_never() {
    let mut printer = printer(&columns(), Format::Csv, TimeColumn::Off);
    printer.header();
    printer.header();
    printer.row(TIME_NS, &NOTHING);
    assert_eq!(printed(&printer).matches("ts,").count(), 1);
    assert!(!line(Format::Csv, &NOTHING).contains("ts,"));
}

#[test]
fn a_flush_empties_the_buffer() {
    let mut printer = printer(&columns(), Format::Json, TimeColumn::Off);
    assert_eq!(printer.pending(), 0);
    printer.row(TIME_NS, &NOTHING);
    assert!(printer.pending() > 0);
    printer.flush().unwrap();
    assert_eq!(printer.pending(), 0);
    assert!(!printer.is_closed());
}

#[test]
fn blank_lines_part_the_intervals_of_a_table() {
    for (format, blank) in [(Format::Table, 1), (Format::Csv, 0), (Format::Json, 0)] {
        let mut printer = printer(&columns(), format, TimeColumn::Rel);
        for interval in 0..2 {
            printer.interval(TIME_NS + interval);
            printer.row(TIME_NS + interval, &NOTHING);
        }
        assert_eq!(printed(&printer).matches("\n\n").count(), blank, "{format}");
        assert!(!printed(&printer).starts_with('\n') && !printed(&printer).ends_with("\n\n"));
    }
}

#[test]
fn histogram_in_a_table() {
    let mut printer = printer(&[], Format::Table, TimeColumn::Rel);
    printer.interval(TIME_NS);
    printer.histogram(TIME_NS, &[("disk", Value::Text(b"my disk"))], &sample());
    printer.histogram(TIME_NS, &[("disk", Value::Null)], &Histogram::new("us"));
    printer.interval(TIME_NS + 1_000_000_000);
    printer.histogram(TIME_NS + 1_000_000_000, &[], &Histogram::new("us"));
    assert_eq!(
        printed(&printer),
        concat!(
            "1.000000\n",
            "disk = my\\x20disk\n",
            "     us                  : count     distribution\n",
            "         0 -> 1          : 0        |                                        |\n",
            "         2 -> 3          : 3        |************************                |\n",
            "         4 -> 7          : 0        |                                        |\n",
            "         8 -> 15         : 5        |****************************************|\n",
            "count=8, p50=9, p90=9, p99=9, max=9 us\n",
            "\n",
            "disk = -\n",
            "count=0\n",
            "\n",
            "2.000000\n",
            "count=0\n",
        )
    );
}

#[test]
fn histograms_of_large_values_are_wide() {
    let mut histogram = Histogram::new("ns");
    histogram.record(u64::MAX);
    let mut printer = printer(&[], Format::Table, TimeColumn::Off);
    printer.histogram(TIME_NS, &[], &histogram);
    let lines: Vec<_> = printed(&printer).lines().collect();
    assert_eq!(lines.len(), 1 + 64 + 1);
    let expected = " 9223372036854775808 -> 18446744073709551615 : 1        |********************|";
    assert_eq!(lines[64], expected);
    assert_eq!(lines[0].find(':'), expected.find(':'));
}

#[test]
fn histogram_in_json() {
    let mut printer = printer(&[], Format::Json, TimeColumn::Off);
    printer.histogram(TIME_NS, &[("disk", Value::Text(b"vda"))], &sample());
    printer.histogram(TIME_NS, &[], &Histogram::new("us"));
    assert_eq!(
        printed(&printer),
        concat!(
            r#"{"ts":"2026-01-02T15:04:05.123456Z","disk":"vda","unit":"us","count":8,"#,
            r#""p50":9,"p90":9,"p99":9,"max":9,"buckets":[{"from":2,"to":3,"count":3},"#,
            r#"{"from":4,"to":7,"count":0},{"from":8,"to":15,"count":5}]}"#,
            "\n",
            r#"{"ts":"2026-01-02T15:04:05.123456Z","unit":"us","count":0,"#,
            r#""p50":null,"p90":null,"p99":null,"max":null,"buckets":[]}"#,
            "\n",
        )
    );
}

#[test]
fn histogram_in_csv() {
    let mut printer = printer(&[], Format::Csv, TimeColumn::Off);
    for _ in 0..2 {
        printer.histogram(TIME_NS, &[("disk", Value::Text(b"vda"))], &sample());
    }
    let row = |numbers| format!("2026-01-02T15:04:05.123456Z,vda,us,{numbers}\n");
    let rows = [row("2,3,3"), row("4,7,0"), row("8,15,5")].concat();
    let expected = format!("ts,disk,unit,from,to,count\n{rows}{rows}");
    assert_eq!(printed(&printer), expected);
}

/// Hostile bytes as a value of every text there is.
fn hostile_row() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (hostile(), hostile())
}

/// The fields of a CSV line, by a reader that knows RFC 4180 only.
fn parse_csv(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut rest = line.strip_suffix('\n')?.chars().peekable();
    while let Some(char) = rest.next() {
        let field = fields.last_mut()?;
        match char {
            '"' if quoted && rest.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '"' => return None,
            ',' if !quoted => fields.push(String::new()),
            _ => field.push(char),
        }
    }
    (!quoted).then_some(fields)
}

fn escaped(text: &[u8]) -> String {
    let mut out = Vec::new();
    escape::text(&mut out, text);
    String::from_utf8(out).unwrap()
}

proptest! {
    #[test]
    fn no_text_breaks_a_line((comm, path) in hostile_row()) {
        for &format in Format::ALL {
            let line = line(format, &row(&comm, &path));
            let content = line.strip_suffix('\n').unwrap();
            let separator = if format == Format::Tsv { '\t' } else { ',' };
            let breaks = |char: char| char.is_control() && char != separator;
            prop_assert!(!content.contains(breaks), "{}: {:?}", format, line);
        }
    }

    #[test]
    fn awk_finds_the_columns_of_a_table((comm, path) in hostile_row()) {
        let line = line(Format::Table, &row(&comm, &path));
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        prop_assert!(fields.len() >= 7);
        prop_assert_eq!(&fields[2..6], ["1.500", "ENOENT", "yes", "127.0.0.1"]);
        prop_assert_eq!(line.trim_end(), line.strip_suffix('\n').unwrap());
    }

    #[test]
    fn json_parses_and_is_exact((comm, path) in hostile_row()) {
        let line = line(Format::Json, &row(&comm, &path));
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&parsed["daddr"], "127.0.0.1");
        for (key, bytes) in [("comm", comm), ("path", path)] {
            prop_assert_eq!(escape::from_json(parsed[key].as_str().unwrap()), bytes);
        }
    }

    #[test]
    fn csv_parses_back((comm, path) in hostile_row()) {
        let fields = parse_csv(&line(Format::Csv, &row(&comm, &path))).unwrap();
        prop_assert_eq!(fields.len(), 9);
        prop_assert_eq!(&fields[3], &escaped(&comm));
        prop_assert_eq!(&fields[8], &escaped(&path));
    }

    #[test]
    fn tsv_parses_back((comm, path) in hostile_row()) {
        let line = line(Format::Tsv, &row(&comm, &path));
        let fields: Vec<_> = line.strip_suffix('\n').unwrap().split('\t').collect();
        prop_assert_eq!(fields.len(), 9);
        prop_assert_eq!(fields[3], escaped(&comm));
        prop_assert_eq!(fields[8], escaped(&path));
    }

    #[test]
    fn keys_of_histograms_are_harmless(key in hostile()) {
        for &format in Format::ALL {
            let mut printer = printer(&[], format, TimeColumn::Off);
            printer.histogram(TIME_NS, &[("comm", Value::Text(&key))], &sample());
            let lines = match format {
                Format::Table => 7,
                Format::Json => 1,
                Format::Csv | Format::Tsv => 4,
            };
            prop_assert_eq!(printed(&printer).lines().count(), lines);
        }
    }
}
