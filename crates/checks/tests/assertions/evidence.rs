//! Evidence that passes, and what the catalogue of seeded defects makes of it.

use seeded_defects::{Case, catalogue, good_evidence};
use serde_json::Value;

fn base(name: &str) -> Value {
    let mut bases = catalogue()
        .bases(&good_evidence())
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
        .recorded(&good_evidence())
        .unwrap_or_else(|error| panic!("{error}"))
}
