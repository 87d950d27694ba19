//! What fuzz targets call: each parser with bytes that anyone may have made. None may panic, hang
//! or take memory without bound.

use std::hint::black_box;

use crate::{
    bpf::tracefs,
    btf::{Blob, Btf, Class},
    engine::judge::Judge,
    output::{Column, Value},
    replay,
};

/// How many names of a blob are looked up.
const NAMES: usize = 24;

/// Reads a blob, and looks up what it has names for.
pub fn btf(data: &[u8]) {
    let names: Vec<&str> =
        data.split(|&byte| byte == 0).filter_map(|name| std::str::from_utf8(name).ok()).take(NAMES).collect();
    let classes = [Class::Struct, Class::Enum, Class::Typedef, Class::Func];
    let wanted = names.iter().flat_map(|&name| classes.map(|class| (class, name)));
    let Ok(btf) = Btf::parse(Blob::Read(data.to_vec()), wanted) else { return };
    for name in &names {
        black_box(btf.size_of(name));
        black_box(btf.tracepoint_args(name.trim_start_matches("btf_trace_")));
        for other in &names {
            black_box((btf.member(name, &[other]), btf.enumerator(name, other)));
        }
        black_box(btf.member(name, &names[..names.len().min(3)]));
    }
}

/// Reads a tracepoint's declaration.
pub fn format(data: &[u8]) {
    black_box(tracefs::parse_format(&String::from_utf8_lossy(data)));
}

/// Reads a condition, and looks at rows with it.
pub fn filter(data: &[u8]) {
    const NONE: Value<'_> = Value::Null;
    let columns = vec![
        Column::number("pid", 7, ""),
        Column::text("comm", 16, ""),
        Column::error("error", 8, ""),
        Column::address("daddr", 15, ""),
        Column::number("latency_us", 9, "").unit("us"),
        Column::number("bytes", 9, "").unit("bytes"),
        Column::truth("core", 5, ""),
        Column::stack("user_stack", 30, ""),
    ];
    let source = String::from_utf8_lossy(data);
    let Ok(judge) = Judge::new(columns, Some(&source), &[], &[]) else { return };
    let frames = ["main".into(), "read".into()];
    let row = [
        Value::Uint(7),
        Value::Text(data),
        Value::Errno(2),
        Value::Ip([127, 0, 0, 1].into()),
        Value::Float(0.5, 3),
        Value::Uint(u64::MAX),
        Value::Bool(true),
        Value::Frames(&frames),
    ];
    black_box((judge.admits(&row), judge.admits(&[NONE; 8]), judge.pushed()));
}

/// Reads a recording.
pub fn recording(data: &[u8]) {
    let _ = black_box(replay::read(data));
}
