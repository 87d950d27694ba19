//! What conditions mean, and what is told of wrong ones.

use proptest::prelude::*;

use super::*;

const COLUMNS: [Column; 9] = [
    Column::number("pid", 7, ""),
    Column::number("uid", 7, ""),
    Column::text("comm", 15, ""),
    Column::number("latency_us", 9, "").unit("us"),
    Column::number("size_bytes", 9, "").unit("bytes"),
    Column::error("error", 8, ""),
    Column::address("daddr", 15, ""),
    Column::truth("core", 4, ""),
    Column::number("avg_us", 9, "").unit("us"),
];

fn row(comm: &[u8]) -> [Value<'_>; 9] {
    [
        Value::Uint(u64::MAX),
        Value::Int(-1),
        Value::Text(comm),
        Value::Uint(10_000),
        Value::Uint(4096),
        Value::Errno(libc::ENOENT),
        Value::Ip([10, 1, 2, 3].into()),
        Value::Bool(true),
        Value::Float(2.5, 3),
    ]
}

const NOTHING: [Value<'_>; 9] = [
    Value::Null,
    Value::Null,
    Value::Null,
    Value::Null,
    Value::Null,
    Value::Errno(0),
    Value::Null,
    Value::Bool(false),
    Value::Float(f64::NAN, 3),
];

fn is_true(source: &str, values: &[Value<'_>]) -> bool {
    Expr::parse(source, &COLUMNS).unwrap_or_else(|error| panic!("{source}: {error}")).matches(values)
}

fn error(source: &str) -> String {
    Expr::parse(source, &COLUMNS).map(|expr| panic!("{source} is {expr:?}")).unwrap_err().to_string()
}

#[test]
fn values_are_compared_by_their_types() {
    for source in [
        "pid == 18446744073709551615",
        "pid > 18446744073709551614",
        "uid == -1",
        "uid < 0",
        "latency_us == 10ms",
        "latency_us >= 0.01s && latency_us < 10.001ms",
        "latency_us > 9999.5",
        "latency_us == 10000us",
        "size_bytes == 4k",
        "size_bytes <= 0.00390625MiB",
        "size_bytes != 4000",
        "comm == nginx",
        r#"comm == "nginx""#,
        "comm == 'nginx'",
        r#"comm ~ "^ng.n""#,
        r#"comm ~ "\w+""#,
        "comm !~ worker",
        "comm ~ '(?i)NGINX'",
        "error == ENOENT",
        "error == 2",
        "error != EPERM",
        "error ~ NOENT",
        "daddr == 10.1.2.3",
        "daddr == 10.0.0.0/8",
        "daddr == 0.0.0.0/0",
        "daddr != 10.1.2.2 && daddr != ::/0",
        "daddr ~ '^10\\.1'",
        "core",
        "core == true && core != no",
        "avg_us == 2.5 && avg_us < 3 && avg_us > 2",
        "pid != null",
        "!(pid == 1)",
        "!!core",
        "pid==1||(comm==x||core)&&!(uid==5)",
    ] {
        assert!(is_true(source, &row(b"nginx")), "{source}");
        assert!(!is_true(&format!("!({source})"), &row(b"nginx")), "{source}");
    }
}

#[test]
fn and_binds_closer_than_or() {
    assert!(is_true("core || core && pid == 1", &row(b"")));
    assert!(!is_true("(core || core) && pid == 1", &row(b"")));
    assert!(is_true("!core || core", &row(b"")), "and not closest of all");
}

#[test]
fn nothing_is_only_nothing() {
    for column in COLUMNS.iter().map(|column| column.name).filter(|name| *name != "core") {
        assert!(is_true(&format!("{column} == null"), &NOTHING), "{column}");
        assert!(!is_true(&format!("{column} != null"), &NOTHING), "{column}");
    }
    for source in ["pid < 5", "pid >= 0", "comm == ''", "comm ~ ''", "daddr == 0.0.0.0/0", "error == EPERM"] {
        assert!(!is_true(source, &NOTHING), "{source}");
    }
    assert!(is_true("error == 0 && pid != 5 && comm !~ x && !core", &NOTHING));
    assert!(is_true("comm == 'null'", &row(b"null")) && !is_true("comm == null", &row(b"null")));
}

#[test]
fn texts_have_the_escapes_of_tables() {
    for (source, comm) in [
        (r#"comm == "a\nb""#, &b"a\nb"[..]),
        (r#"comm == "\x1b[31m""#, b"\x1b[31m"),
        (r#"comm == "\xff""#, b"\xff"),
        (r#"comm == "a\\b""#, br"a\b"),
        (r#"comm == "say \"hi\"""#, br#"say "hi""#),
        (r"comm == 'it\'s'", b"it's"),
        (r#"comm == "it's""#, b"it's"),
        (r#"comm == "\.""#, br"\."),
        ("comm == \"\"", b""),
        ("comm == kworker/0:1-events", b"kworker/0:1-events"),
        ("comm == 4k", b"4k"),
        ("comm == été", "été".as_bytes()),
    ] {
        assert!(is_true(source, &row(comm)), "{source}");
        assert!(!is_true(source, &row(b"other")), "{source}");
    }
}

#[test]
fn errors_show_where() {
    for (source, parts) in [
        ("", &["a column is missing", "pid, uid, comm", "at the end"][..]),
        ("pdi == 1", &["no column \"pdi\"", "pid, uid, comm", "character 1"]),
        ("pid == 1 && latncy > 3", &["latncy", "latency_us", "character 13, at \"latncy > 3\""]),
        ("pid", &["after pid", "==", "at the end"]),
        ("pid ==", &["is missing", "at the end"]),
        ("pid = 1", &["equality is ==", "character 5"]),
        ("pid == 1 & core", &["and is &&", "character 10"]),
        ("pid == 1 core", &["&& or || is missing", "character 10"]),
        ("(pid == 1", &["not closed", "at the end"]),
        ("pid == 1)", &["&& or ||", "character 9"]),
        ("pid == abc", &["\"abc\" is no number", "character 8"]),
        ("pid == 1.5.2", &["no number"]),
        ("pid == .5", &["no number"]),
        ("pid == 4k", &["without a unit", "pid"]),
        ("latency_us > 4k", &["no number of us"]),
        ("size_bytes > 4ms", &["no number of bytes"]),
        ("pid == 999999999999999999999", &["no number"]),
        ("comm < 5", &["< is for numbers", "text"]),
        ("core >= 1", &[">= is for numbers", "boolean"]),
        ("pid ~ 1", &["~ is for text", "number"]),
        ("comm ~ '('", &["no regular expression", "unclosed group"]),
        ("comm ~ '(a{1000}){1000}'", &["no regular expression"]),
        ("comm == 'x", &["not closed", "character 9"]),
        ("comm == a && 5 == 5", &["no column \"5\""]),
        ("error == EVERYTHING", &["name of an error"]),
        ("daddr == localhost", &["no address"]),
        ("daddr == 10.0.0.0/33", &["no address"]),
        ("core == maybe", &["true or false"]),
        ("comm == é && pdi == 1", &["character 14"]),
    ] {
        let error = error(source);
        for part in parts {
            assert!(error.contains(part), "{source}: {error}");
        }
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn depth_and_length_have_limits() {
    assert!(error(&format!("{}core", "(".repeat(100_000))).contains("too long"));
    assert!(error(&format!("{}core", "(".repeat(1000))).contains("too many"));
    assert!(error(&format!("{}core", "!".repeat(1000))).contains("too many"));
    assert!(is_true(&format!("{}core", "core&&".repeat(5000)), &row(b"")), "a chain is not deep");
}

fn pushed(source: &str) -> Pushed {
    Expr::parse(source, &COLUMNS).unwrap().pushed(&COLUMNS)
}

#[test]
fn the_kernel_decides_what_it_can() {
    let ids = |pids: &[u32]| Pushed { pids: pids.to_vec(), ..Pushed::default() };
    assert_eq!(pushed("pid == 5"), ids(&[5]));
    assert_eq!(pushed("pid == 7 || pid == 5 || pid == 7"), ids(&[5, 7]));
    assert_eq!(pushed("(pid == 5 || pid == 7) && core"), ids(&[5, 7]));
    assert_eq!(pushed("core && (pid == 5 && error == EIO)"), ids(&[5]));
    for source in ["pid == 5 || core", "pid != 5", "!(pid == 5)", "pid > 5", "pid == -1", "pid == null"] {
        assert!(pushed(source).is_empty(), "{source}");
    }
    let both = pushed("uid == 0 && (comm == 'a,b' || comm == c)");
    assert_eq!((both.uids, both.comms), (vec![0], vec!["a,b".to_owned(), "c".to_owned()]));
    for source in ["comm == 'a*'", "comm == '?'", "comm ~ a", "comm == '\\xff'", "comm == c || comm == '*'"] {
        assert!(pushed(source).is_empty(), "{source}");
    }
}

#[test]
fn thresholds_are_never_too_high() {
    for (source, ns) in [
        ("latency_us > 10ms", Some(10_000_000)),
        ("latency_us >= 5 && latency_us > 7 && core", Some(7_000)),
        ("latency_us >= 5 || latency_us == 3", Some(3_000)),
        ("latency_us > 0.5", Some(499)),
        ("latency_us > -5", Some(0)),
        ("latency_us < 5", None),
        ("latency_us > 5 || core", None),
        ("latency_us != 5", None),
        ("avg_us > 5", None),
    ] {
        assert_eq!(pushed(source).min_ns, ns, "{source}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(source in ".{0,60}") {
        let _ = Expr::parse(&source, &COLUMNS);
    }

    #[test]
    fn no_condition_is_too_strange(
        words in prop::collection::vec(
            prop::sample::select(&["pid", "comm", "latency_us", "core", "==", "!=", "<", ">=", "~", "!~", "!", "(", ")",
                "&&", "||", "5", "10ms", "'a'", "null", "\"\\x", "daddr", "::1/7", "-", "é"][..]),
            0..20,
        ),
    ) {
        if let Ok(expr) = Expr::parse(&words.join(" "), &COLUMNS) {
            let _ = (expr.matches(&row(b"a")), expr.pushed(&COLUMNS));
        }
    }

    /// What the kernel is told never hides a row that matches.
    #[test]
    fn what_is_pushed_holds_for_all_that_matches(
        tests in prop::collection::vec((0..4_u8, 0..4_u64, any::<bool>(), any::<bool>()), 1..6),
        pid in 0..4_u64,
        latency in 0..4_u64,
    ) {
        let mut source = String::new();
        for (index, (kind, number, or, not)) in tests.into_iter().enumerate() {
            let join = if or { " || " } else { " && " };
            source += if index == 0 { "" } else { join };
            source += if not { "!" } else { "" };
            source += &match kind {
                0 => format!("(pid == {number})"),
                1 => format!("(pid < {number})"),
                2 => format!("(latency_us >= {number})"),
                _ => format!("(latency_us == {number})"),
            };
        }
        let expr = Expr::parse(&source, &COLUMNS).unwrap();
        let mut values = NOTHING;
        (values[0], values[3]) = (Value::Uint(pid), Value::Uint(latency));
        if expr.matches(&values) {
            let Pushed { pids, min_ns, .. } = expr.pushed(&COLUMNS);
            prop_assert!(pids.is_empty() || pids.contains(&(pid as u32)), "{source}");
            prop_assert!(min_ns.is_none_or(|ns| latency * 1000 >= ns), "{source}");
        }
    }
}
