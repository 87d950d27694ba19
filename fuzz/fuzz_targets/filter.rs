//! Conditions on rows.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_cli::fuzz::filter(data));
