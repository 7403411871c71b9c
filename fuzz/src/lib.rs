//! What is fed to whatever reads the words of strangers: one function a target, which takes any bytes and panics when
//! something is wrong.
//!
//! `cargo xtask fuzz` has libFuzzer look for such bytes (`fuzz_targets/`, behind the feature `libfuzzer`); the replay test
//! feeds what it found, and what a person thought of (`corpus/`, `regressions/`), on every run of the tests.

mod client;
mod control;
mod json;
mod memory;
mod peers;
mod pieces;
mod report;
mod source;

pub use client::client_spice;
pub use control::control_line;
pub use json::bounded_json;
pub use report::report_zip;
pub use source::source_spice;

/// A function that any bytes can be fed to.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 5] = [
    ("bounded_json", bounded_json),
    ("client_spice", client_spice),
    ("control_line", control_line),
    ("report_zip", report_zip),
    ("source_spice", source_spice),
];
