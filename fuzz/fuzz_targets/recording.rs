//! What a run has recorded as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_cli::fuzz::recording(data));
