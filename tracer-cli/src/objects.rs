//! The kernel objects, built into the binary.

/// Bytes aligned as ELF wants them.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

macro_rules! object {
    ($path:expr) => {{
        static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &OBJECT.0
    }};
}

include!(concat!(env!("OUT_DIR"), "/objects.rs"));

/// The object file of a tool.
#[must_use]
pub fn of(tool: &str) -> Option<&'static [u8]> {
    OBJECTS.iter().find(|(name, _)| *name == tool).map(|(_, data)| *data)
}
