//! `fuzz::bounded_json`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::bounded_json(input));
