//! Evidence that passes, and what the catalogue of seeded defects makes of it.

use serde_json::Value;
use verdict::seeded::{Case, Catalogue};

fn good() -> Value {
    serde_json::from_str(include_str!("../good-evidence.json")).expect("the fixture is JSON")
}

fn catalogue() -> Catalogue {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../xtask/selftest/catalogue.toml");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Catalogue::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn base(name: &str) -> Value {
    let mut bases = catalogue()
        .bases(&good())
        .unwrap_or_else(|error| panic!("{error}"));
    bases.remove(name).expect(name)
}

/// Of a run on Linux: three reports, twelve threads, and under load one more that was born in the window and another
/// that ended in it.
pub(crate) fn linux() -> Value {
    base("linux")
}

/// The same run as a Mac would tell it.
pub(crate) fn macos() -> Value {
    base("macos")
}

/// The Linux run under `--strict`'s thresholds.
pub(crate) fn strict() -> Value {
    base("strict")
}

/// The defects of recorded evidence, and what is sound.
pub(crate) fn cases() -> Vec<Case> {
    catalogue()
        .recorded(&good())
        .unwrap_or_else(|error| panic!("{error}"))
}
