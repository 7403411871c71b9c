//! A seeded defect or a run without one, and how its result differs from what is expected.

use std::collections::BTreeSet;

/// Where a defect is seeded, or a run without one takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Recorded,
    Model,
    Simulated,
    Live,
}

impl Level {
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
    pub(crate) level: Level,
    /// The report, rate or background.
    pub(crate) place: String,
    /// How the result differs from the expected one.
    pub(crate) mismatch: Option<String>,
}

/// A run without a defect.
#[derive(Debug, Clone)]
pub(crate) struct CleanRun {
    pub(crate) level: Level,
    pub(crate) description: String,
    pub(crate) false_positive: Option<String>,
}

/// How a set of checks differs from the expected one, where it does.
pub(crate) fn difference(
    what: &str,
    found: &BTreeSet<String>,
    expected: &BTreeSet<String>,
) -> Option<String> {
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
    fn a_difference_names_missing_and_extra_checks() {
        let difference = |found: &[&str], expected: &[&str]| {
            super::difference("failed", &set(found), &set(expected)).unwrap_or_default()
        };
        assert_eq!(difference(&["a"], &["a"]), "");
        assert_eq!(difference(&[], &["a", "b"]), "not failed: a, b");
        assert_eq!(difference(&["a", "c"], &["a"]), "failed besides: c");
        assert_eq!(difference(&["c"], &["a"]), "not failed: a; failed besides: c");
    }

    #[test]
    fn the_catalogue_has_enough_defects_and_enough_live_ones() {
        let catalogue = seeded_defects::catalogue();
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
