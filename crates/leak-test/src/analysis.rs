//! What one experiment says of every resource.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::count_rule::CountRule;
use super::design::{Class, Resource};
use super::estimate::Estimate;
use super::experiment::{Experiment, Reading};
use super::format::{count, figure};
use super::power::Power;
use super::randomisation::{SIGN_FLIPS, SignFlips};
use super::seed::Seed;
use super::{CLEAN_LEVEL, LEAK_LEVEL, MIN_NOISY_MINUTES, MIN_PAIRS, MIN_UNITS};

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// What one experiment says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Analysis {
    /// The seed of its random assignment.
    pub seed: Seed,
    /// What was performed.
    pub operation: String,
    /// How often, in complete pairs.
    pub operations: u64,
    /// Complete pairs.
    pub pairs: usize,
    /// How long the blocks took together.
    #[serde(rename = "duration_secs", serialize_with = "seconds")]
    pub duration: Duration,
    /// p ≤ this speaks for a leak of one resource: 0.001 by the number of resources that were to be judged.
    pub leak_level: f64,
    /// Each resource, in the order of the design.
    pub resources: Vec<ResourceAnalysis>,
}

/// What one experiment says of one resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResourceAnalysis {
    /// Which.
    #[serde(flatten)]
    pub resource: Resource,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// How much it leaks; absent where it was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// How small a leak would have been found; absent where it was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    /// The two-count rule, for information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_rule: Option<CountRule>,
}

/// What one experiment finds of one resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// Operations leak. A second experiment has to say so too.
    Leak,
    /// Operations release more than they take. A second experiment has to say so too.
    OverRelease,
    /// It stood at its ceiling: a leak, without further proof.
    Saturated,
    /// Operations leak less than λ*.
    RuledOut,
    /// Neither a leak nor that there is none.
    Undecided(Blocker),
    /// Nothing can be said.
    NotJudged(Blocker),
}

/// Why a resource could not be found clean.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Blocker {
    /// It is noisy, and the run was short. Nothing is wrong with the run.
    RunTooShort {
        /// How long a run would have to be.
        needs_minutes: u64,
    },
    /// A reading is missing.
    ReadingMissing {
        /// Why.
        reason: String,
    },
    /// There were too few pairs.
    TooFewPairs {
        /// How many there were.
        pairs: usize,
        /// How many there have to be.
        needs_pairs: usize,
    },
    /// A leak of λ* would have left so few units that chance could hide it.
    TooFewOperations {
        /// How many there were.
        operations: u64,
        /// How many there have to be.
        needs_operations: u64,
    },
    /// A leak of λ* might have been missed.
    TooNoisy {
        /// The smallest leak per operation that would have been found.
        smallest_detectable: f64,
        /// So many times the pairs would find λ*.
        times_as_many_pairs: f64,
    },
    /// A leak of λ* would have been found, and was neither found nor ruled out.
    NotRuledOut {
        /// With 99 %, the leak is at most this; absent where even that is unknown.
        #[serde(skip_serializing_if = "Option::is_none")]
        at_most: Option<f64>,
    },
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunTooShort { needs_minutes } => write!(f, "not judged, needs {needs_minutes} min"),
            Self::ReadingMissing { reason } => write!(f, "a reading is missing: {reason}"),
            Self::TooFewPairs { pairs, needs_pairs } => write!(f, "{pairs} pairs, needs {needs_pairs}"),
            Self::TooFewOperations {
                operations,
                needs_operations,
            } => write!(
                f,
                "{} operations, needs {}",
                count(*operations),
                count(*needs_operations)
            ),
            Self::TooNoisy {
                smallest_detectable,
                times_as_many_pairs,
            } => write!(
                f,
                "too noisy, the smallest detectable leak is {}; {} times as many pairs would do",
                figure(*smallest_detectable),
                figure(*times_as_many_pairs)
            ),
            Self::NotRuledOut {
                at_most: Some(at_most),
            } => write!(
                f,
                "neither found nor ruled out, with 99 % it leaks at most {}",
                figure(*at_most)
            ),
            Self::NotRuledOut { at_most: None } => write!(f, "neither found nor ruled out"),
        }
    }
}

impl Analysis {
    /// Judges an experiment by itself. Takes tenths of a second.
    #[must_use]
    pub fn of(experiment: &Experiment, duration: Duration) -> Self {
        let design = experiment.design();
        let long = duration >= Duration::from_secs(60 * MIN_NOISY_MINUTES);
        let to_be_judged = |resource: &&Resource| resource.class == Class::Exact || long;
        let judged = design.resources.iter().filter(to_be_judged).count();
        let leak_level = LEAK_LEVEL / judged.max(1) as f64;
        let resources = (0..design.resources.len())
            .map(|index| analyse(experiment, index, long, leak_level))
            .collect();
        Self {
            seed: design.seed,
            operation: design.operation.clone(),
            operations: experiment.operations(),
            pairs: experiment.pairs(),
            duration,
            leak_level,
            resources,
        }
    }

    /// Whether it found what a second experiment, of a fresh process and another seed, has to confirm.
    #[must_use]
    pub fn needs_confirmation(&self) -> bool {
        self.resources
            .iter()
            .any(|resource| matches!(resource.finding, Finding::Leak | Finding::OverRelease))
    }

    pub(super) fn resource(&self, name: &str) -> Option<&ResourceAnalysis> {
        self.resources
            .iter()
            .find(|resource| resource.resource.name == name)
    }
}

fn analyse(experiment: &Experiment, index: usize, long: bool, level: f64) -> ResourceAnalysis {
    let resource = &experiment.design().resources[index];
    let mut looks = experiment.readings(index);
    let count_rule = match (looks.next(), looks.next_back()) {
        (Some(start), Some(end)) => CountRule::of(start, end, experiment.operations()),
        _ => None,
    };
    let (finding, estimate, power) = match judgeable(experiment, index, long, level) {
        Ok(differences) => {
            let (finding, estimate, power) = judge(experiment, resource, &differences, level);
            (finding, Some(estimate), Some(power))
        }
        Err(finding) => (finding, None, None),
    };
    ResourceAnalysis {
        resource: resource.clone(),
        finding,
        estimate,
        power,
        count_rule,
    }
}

/// The differences to judge, or what is found without.
fn judgeable(experiment: &Experiment, index: usize, long: bool, level: f64) -> Result<Vec<f64>, Finding> {
    if experiment.saturated(index) {
        return Err(Finding::Saturated);
    }
    if experiment.design().resources[index].class == Class::Noisy && !long {
        return Err(Finding::NotJudged(Blocker::RunTooShort {
            needs_minutes: MIN_NOISY_MINUTES,
        }));
    }
    // No p-value is below 1 of 2ⁿ: for 17 resources and more even the least number of pairs could not show a leak.
    let needs_pairs = MIN_PAIRS.max((1.0 / level).log2().ceil() as usize);
    if experiment.pairs() < needs_pairs {
        return Err(Finding::NotJudged(Blocker::TooFewPairs {
            pairs: experiment.pairs(),
            needs_pairs,
        }));
    }
    experiment.differences(index).map_err(|reading| match reading {
        Reading::Missing(reason) => Finding::NotJudged(Blocker::ReadingMissing {
            reason: reason.clone(),
        }),
        Reading::Saturated | Reading::Count(_) => Finding::Saturated,
    })
}

fn judge(
    experiment: &Experiment,
    resource: &Resource,
    differences: &[f64],
    level: f64,
) -> (Finding, Estimate, Power) {
    let design = experiment.design();
    let per_block = design.operations_per_block.get();
    let sign_flips = SignFlips::choose(differences.len(), SIGN_FLIPS, design.seed);
    let estimate =
        Estimate::of(differences, per_block, resource, sign_flips).expect("there are at least MIN_PAIRS");
    let sigma = estimate.sigma.expect("there are at least MIN_PAIRS");
    let power = Power::of(differences, sigma, per_block, level, design.seed).above(resource.tolerated);
    let finding = decide(resource, &estimate, &power, level, experiment.operations());
    (finding, estimate, power)
}

fn decide(resource: &Resource, estimate: &Estimate, power: &Power, level: f64, operations: u64) -> Finding {
    if estimate.p_leak <= level {
        return Finding::Leak;
    }
    if resource.class == Class::Exact && estimate.p_over_release <= level {
        return Finding::OverRelease;
    }
    let needs_operations = (MIN_UNITS / resource.lambda_star).ceil() as u64;
    if operations < needs_operations {
        return Finding::Undecided(Blocker::TooFewOperations {
            operations,
            needs_operations,
        });
    }
    if estimate.p_lambda_star <= CLEAN_LEVEL {
        return Finding::RuledOut;
    }
    let smallest_detectable = power.smallest();
    if smallest_detectable > resource.lambda_star {
        let times = (smallest_detectable / resource.lambda_star).powi(2);
        return Finding::Undecided(Blocker::TooNoisy {
            smallest_detectable,
            times_as_many_pairs: times,
        });
    }
    Finding::Undecided(Blocker::NotRuledOut {
        at_most: estimate.at_most,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_tried_in_their_order_and_at_their_limits() {
        const LEVEL: f64 = 0.001 / 8.0;
        let exact = Resource::exact("threads", "threads", 0.02);
        let noisy = Resource::noisy("rss", "KiB of resident memory", 0.02, 0.0);
        // Neither a leak nor clean, in enough operations, of which λ* would have been found.
        let estimate = Estimate {
            per_operation: 0.01,
            lower: None,
            upper: None,
            at_least: None,
            at_most: Some(0.021),
            p_leak: 0.5,
            p_over_release: 0.5,
            p_lambda_star: 0.5,
            sigma: Some(1.0),
            sign_flips: SIGN_FLIPS as usize,
            exhaustive: false,
        };
        let power = |smallest| Power {
            by_formula: 1.0,
            by_injection: Some(smallest),
        };
        let decide = |resource: &Resource, estimate: Estimate, smallest, operations| {
            decide(resource, &estimate, &power(smallest), LEVEL, operations)
        };
        let of = |p_leak, p_over_release, p_lambda_star| Estimate {
            p_leak,
            p_over_release,
            p_lambda_star,
            ..estimate.clone()
        };

        assert_eq!(
            decide(&exact, estimate.clone(), 0.02, 700),
            Finding::Undecided(Blocker::NotRuledOut { at_most: Some(0.021) })
        );
        assert_eq!(
            decide(&exact, estimate.clone(), 0.04, 700),
            Finding::Undecided(Blocker::TooNoisy {
                smallest_detectable: 0.04,
                times_as_many_pairs: 4.0
            })
        );
        assert_eq!(decide(&exact, of(0.5, 0.5, 0.01), 0.04, 700), Finding::RuledOut);
        assert_ne!(
            decide(&exact, of(0.5, 0.5, 0.01001), 0.04, 700),
            Finding::RuledOut
        );
        assert_eq!(
            decide(&exact, of(0.5, 0.5, 0.01), 0.04, 699),
            Finding::Undecided(Blocker::TooFewOperations {
                operations: 699,
                needs_operations: 700
            })
        );
        assert_eq!(decide(&exact, of(LEVEL, 0.5, 0.01), 0.02, 1), Finding::Leak);
        assert_ne!(
            decide(&exact, of(LEVEL * 1.01, 0.5, 0.01), 0.02, 700),
            Finding::Leak
        );
        assert_eq!(
            decide(&exact, of(0.5, LEVEL, 0.01), 0.02, 700),
            Finding::OverRelease
        );
        assert_eq!(decide(&noisy, of(0.5, LEVEL, 0.01), 0.02, 700), Finding::RuledOut);
    }

    #[test]
    fn obstacles_say_what_is_needed() {
        let said = |blocker: Blocker| blocker.to_string();
        assert_eq!(
            said(Blocker::TooNoisy {
                smallest_detectable: 0.052,
                times_as_many_pairs: 6.8
            }),
            "too noisy, the smallest detectable leak is 0.052; 6.8 times as many pairs would do"
        );
        assert_eq!(
            said(Blocker::TooFewOperations {
                operations: 100,
                needs_operations: 1_700
            }),
            "100 operations, needs 1,700"
        );
        assert_eq!(
            said(Blocker::NotRuledOut { at_most: Some(0.021) }),
            "neither found nor ruled out, with 99 % it leaks at most 0.021"
        );
    }
}
