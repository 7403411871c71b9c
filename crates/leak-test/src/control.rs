//! The positive control: a child that leaks one unit per operation must be seen to.

use std::fmt;

use serde::Serialize;

use super::estimate::Estimate;
use super::experiment::{Experiment, Reading};
use super::format::figure;
use super::randomisation::SIGN_FLIPS;
use super::{LEAK_LEVEL, MIN_PAIRS};

/// What the control leaks, by construction.
const PER_OPERATION: f64 = 1.0;

/// Whether the leak that was built into the control was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Control {
    /// Every resource that it leaks came out as a leak of one unit per operation.
    Found,
    /// It leaked until the system gave it no more: found, whatever the figures are.
    RanOut {
        /// Of what.
        resource: String,
    },
    /// The count never moved: it is broken, and its clean results prove nothing.
    NeverMoved {
        /// Of which resource.
        resource: String,
    },
    /// Something else than one unit per operation was found.
    Missed {
        /// Of which resource.
        resource: String,
        /// What was found.
        per_operation: f64,
    },
    /// A reading is missing.
    ReadingMissing {
        /// Of which resource.
        resource: String,
        /// Why.
        reason: String,
    },
    /// It ended early.
    TooFewPairs {
        /// How many there were.
        pairs: usize,
        /// How many there have to be.
        needs_pairs: usize,
    },
    /// It did not take place.
    NotRun {
        /// Why.
        reason: String,
    },
}

impl Control {
    /// Judges an experiment with a child that leaks one unit of every resource of its design per operation.
    #[must_use]
    pub fn of(experiment: &Experiment) -> Self {
        if experiment.pairs() < MIN_PAIRS {
            return Self::TooFewPairs {
                pairs: experiment.pairs(),
                needs_pairs: MIN_PAIRS,
            };
        }
        let resources = &experiment.design().resources;
        let level = LEAK_LEVEL / resources.len() as f64;
        for (index, (resource, estimate)) in
            resources.iter().zip(experiment.estimates(SIGN_FLIPS)).enumerate()
        {
            let resource = resource.name.clone();
            let Some(estimate) = estimate else {
                let reason = experiment.readings(index).find_map(unread);
                return Self::ReadingMissing {
                    resource,
                    reason: reason.unwrap_or_default(),
                };
            };
            let mut looks = experiment.readings(index);
            let first = looks.next();
            if looks.all(|look| Some(look) == first) {
                return Self::NeverMoved { resource };
            }
            if !shows_what_was_built_in(&estimate, level) {
                return Self::Missed {
                    resource,
                    per_operation: estimate.per_operation,
                };
            }
        }
        Self::Found
    }

    /// Whether it did what it is for.
    #[must_use]
    pub fn found(&self) -> bool {
        matches!(self, Self::Found | Self::RanOut { .. })
    }
}

fn shows_what_was_built_in(estimate: &Estimate, level: f64) -> bool {
    estimate.p_leak <= level && estimate.holds(PER_OPERATION)
}

fn unread(reading: &Reading) -> Option<String> {
    match reading {
        Reading::Count(_) => None,
        Reading::Missing(reason) => Some(reason.clone()),
        Reading::Saturated => Some("it stands at its ceiling".to_owned()),
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found => write!(f, "the control's leak was found"),
            Self::RanOut { resource } => write!(f, "the control ran out of {resource}: its leak was found"),
            Self::NeverMoved { resource } => {
                write!(
                    f,
                    "the counts are broken: {resource} never moved while the control leaked"
                )
            }
            Self::Missed {
                resource,
                per_operation,
            } => write!(
                f,
                "the control leaks 1 of {resource} per operation, and {} was found",
                figure(*per_operation)
            ),
            Self::ReadingMissing { resource, reason } => {
                write!(f, "the control's {resource} could not be read: {reason}")
            }
            Self::TooFewPairs { pairs, needs_pairs } => {
                write!(f, "the control had {pairs} pairs, needs {needs_pairs}")
            }
            Self::NotRun { reason } => write!(f, "the control did not run: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_of_one_within_the_level_is_what_was_built_in() {
        let shows = |p_leak, lower, upper| {
            let estimate = Estimate {
                per_operation: 1.0,
                lower: Some(lower),
                upper: Some(upper),
                at_least: None,
                at_most: None,
                p_leak,
                p_over_release: 1.0,
                p_lambda_star: 1.0,
                sigma: None,
                sign_flips: 99_999,
                exhaustive: false,
            };
            shows_what_was_built_in(&estimate, LEAK_LEVEL)
        };
        assert!(shows(LEAK_LEVEL, 1.0, 1.0));
        assert!(!shows(LEAK_LEVEL.next_up(), 1.0, 1.0));
        assert!(!shows(0.000_1, 1.01, 2.0) && !shows(0.000_1, 0.5, 0.99));
    }
}
