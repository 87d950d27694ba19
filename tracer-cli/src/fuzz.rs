//! What fuzz targets call: each parser with bytes that anyone may have made. None may panic, hang
//! or take memory without bound.

use std::hint::black_box;

use crate::{
    bpf::tracefs,
    btf::{Blob, Btf, Class},
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
