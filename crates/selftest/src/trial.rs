//! Who verifies the verifier: every defect of the catalogue is seeded, and found by exactly what must find it; and runs
//! without a defect raise no alarm.
//!
//! | module | where defects are seeded |
//! |---|---|
//! | `recorded` | in the recorded evidence |
//! | `simulated` | in the readings of simulated soaks |
//! | `model` | in the macOS backend and the census, on the model kernel: tests of `runtime-metrics` |
//! | `live` | in a client that is built to lie and to leak, under `cargo xtask verify` and `soak` |
//! | `tally` | what it all came to |

mod live;
mod model;
mod recorded;
mod simulated;
mod tally;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;
use seeded_defects::Catalogue;

pub(crate) use self::live::Live;
pub(crate) use self::tally::Tally;
use crate::workspace;

/// Where a defect is seeded, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ground {
    Recorded,
    Model,
    Simulated,
    Live,
}

impl Ground {
    pub(crate) const ALL: [Self; 4] = [Self::Recorded, Self::Model, Self::Simulated, Self::Live];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Model => "model",
            Self::Simulated => "simulated",
            Self::Live => "live",
        }
    }
}

/// A defect, seeded once.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) defect: String,
    pub(crate) ground: Ground,
    /// In what: a report, a rate, a background.
    pub(crate) place: String,
    /// What was found other than what should have been.
    pub(crate) wrong: Option<String>,
}

/// A run without a defect.
#[derive(Debug, Clone)]
pub(crate) struct SoundRun {
    pub(crate) ground: Ground,
    pub(crate) what: String,
    pub(crate) alarm: Option<String>,
}

/// The catalogue, and the evidence that its lies are told of.
pub(crate) struct Seeds {
    pub(crate) catalogue: Catalogue,
    pub(crate) good: Value,
}

impl Seeds {
    pub(crate) fn load() -> Result<Self> {
        let read = |path: PathBuf| {
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", workspace::shown(&path)))
        };
        let evidence = read(workspace::root().join("crates/verdict/tests/good-evidence.json"))?;
        Ok(Self {
            catalogue: Catalogue::parse(&read(catalogue_path())?)?,
            good: serde_json::from_str(&evidence).context("the recorded evidence is no JSON")?,
        })
    }
}

fn catalogue_path() -> PathBuf {
    workspace::root().join("xtask/selftest/catalogue.toml")
}

/// The judges that need no living process: all of the catalogue.
pub(crate) fn run_quick(seeds: &Seeds, tally: &mut Tally) -> Result<()> {
    recorded::run(seeds, tally)?;
    simulated::run(&seeds.catalogue, tally);
    model::run(tally)
}

/// What was found beside what should have been, where the two differ.
fn difference(what: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>) -> Option<String> {
    let list = |set: Vec<&String>| set.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let missed = list(expected.difference(found).collect());
    let besides = list(found.difference(expected).collect());
    match (missed.is_empty(), besides.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("not {what}: {missed}")),
        (true, false) => Some(format!("{what} besides: {besides}")),
        (false, false) => Some(format!("not {what}: {missed}; {what} besides: {besides}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(checks: &[&str]) -> BTreeSet<String> {
        checks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_difference_tells_what_is_missing_and_what_is_too_much() {
        let difference = |found: &[&str], expected: &[&str]| {
            super::difference("failed", &set(found), &set(expected)).unwrap_or_default()
        };
        assert_eq!(difference(&["a"], &["a"]), "");
        assert_eq!(difference(&[], &["a", "b"]), "not failed: a, b");
        assert_eq!(difference(&["a", "c"], &["a"]), "failed besides: c");
        assert_eq!(difference(&["c"], &["a"]), "not failed: a; failed besides: c");
    }

    #[test]
    fn the_catalogue_is_as_large_and_as_lively_as_promised() {
        let Seeds { catalogue, .. } = Seeds::load().expect("the catalogue");
        assert!(catalogue.defects().len() >= 60);
        let lies = catalogue.report.iter().filter(|row| !row.live.is_empty()).count();
        let leaks = catalogue
            .simulated
            .iter()
            .filter(|row| row.fault.is_some())
            .count();
        assert!(
            lies + leaks >= 20,
            "{lies} lies and {leaks} leaks of living clients"
        );
        assert!(catalogue.report.iter().all(|row| !row.fails.is_empty()));
        assert!(
            catalogue
                .simulated
                .iter()
                .all(|row| row.fault.is_some() != row.leaks.is_empty())
        );
    }
}
