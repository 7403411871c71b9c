//! The count test: in the sampling process, operations leave every exact count as it was. Seconds, and no statistics.

use std::num::NonZeroU32;

use serde::Serialize;

use super::analysis::Blocker;
use super::control::Control;
use super::design::{Class, Resource};
use super::experiment::Reading;
use super::format::{count, figure, list};
use super::verdict::{Reason, Verdict, inconclusive};

/// Two counts in a quiet, warm process, and the operations between them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What was performed, in the singular: `sample`.
    pub operation: String,
    /// How often.
    pub operations: NonZeroU32,
    /// What was counted.
    pub counts: Vec<Counted>,
}

/// A resource before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counted {
    /// Which. Memory is not for this test: noisy resources are not judged.
    #[serde(flatten)]
    pub resource: Resource,
    /// Before the operations.
    pub before: Reading,
    /// After them, and after the process has settled.
    pub after: Reading,
}

/// What a comparison finds of one resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Difference {
    /// The counts are equal.
    Unchanged,
    /// There is more than before.
    Leak {
        /// By so many units per operation.
        per_operation: f64,
    },
    /// There is less than before.
    OverRelease {
        /// By so many units per operation, a negative figure.
        per_operation: f64,
    },
    /// It stands at its ceiling: a leak.
    Saturated,
    /// Nothing can be said.
    NotJudged {
        /// Why.
        reason: String,
    },
}

impl Counted {
    /// What is found after so many operations.
    #[must_use]
    pub fn difference(&self, operations: NonZeroU32) -> Difference {
        if self.resource.class == Class::Noisy {
            let reason = "memory is not judged by comparing two counts".to_owned();
            return Difference::NotJudged { reason };
        }
        match (&self.before, &self.after) {
            (Reading::Saturated, _) | (_, Reading::Saturated) => Difference::Saturated,
            (Reading::Missing(reason), _) | (_, Reading::Missing(reason)) => Difference::NotJudged {
                reason: reason.clone(),
            },
            (&Reading::Count(before), &Reading::Count(after)) => {
                let difference = i128::from(after) - i128::from(before);
                let per_operation = difference as f64 / f64::from(operations.get());
                match difference {
                    0 => Difference::Unchanged,
                    1.. => Difference::Leak { per_operation },
                    _ => Difference::OverRelease { per_operation },
                }
            }
        }
    }
}

/// The count test's verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountTestConclusion {
    /// In a word.
    pub verdict: Verdict,
    /// In a sentence.
    pub sentence: String,
    /// Why it is inconclusive, where it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// What was compared.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// What was found of each resource, in the order of `counts`.
    pub differences: Vec<Difference>,
    /// Whether the control was found.
    pub control: Control,
}

impl CountTestConclusion {
    /// Judges a comparison, next to the control.
    #[must_use]
    pub fn from_comparison(comparison: Comparison, control: Control) -> Self {
        let operations = comparison.operations;
        let counted = comparison.counts.iter();
        let differences: Vec<Difference> = counted.map(|counted| counted.difference(operations)).collect();
        let reasons = reasons(&comparison, &differences, &control);
        let any = |wanted: fn(&Difference) -> bool| differences.iter().any(wanted);
        let verdict = if any(|d| matches!(d, Difference::Leak { .. } | Difference::Saturated)) {
            Verdict::Leak
        } else if any(|d| matches!(d, Difference::OverRelease { .. })) {
            Verdict::OverRelease
        } else if reasons.is_empty() {
            Verdict::Clean
        } else {
            Verdict::Inconclusive
        };
        Self {
            sentence: sentence(verdict, &comparison, &differences, &reasons),
            verdict,
            reasons: if verdict == Verdict::Inconclusive {
                reasons
            } else {
                Vec::new()
            },
            comparison,
            differences,
            control,
        }
    }
}

/// What keeps a comparison without a difference from being clean.
fn reasons(comparison: &Comparison, differences: &[Difference], control: &Control) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut judged = false;
    for (counted, difference) in comparison.counts.iter().zip(differences) {
        match difference {
            Difference::NotJudged { .. } if counted.resource.class == Class::Noisy => {}
            Difference::NotJudged { reason } => reasons.push(Reason::Blocker {
                resource: counted.resource.name.clone(),
                blocker: Blocker::ReadingMissing {
                    reason: reason.clone(),
                },
            }),
            _ => judged = true,
        }
    }
    if !judged {
        reasons.push(Reason::NothingJudged);
    }
    if !control.found() {
        reasons.push(Reason::Control {
            control: control.clone(),
        });
    }
    reasons
}

fn sentence(
    verdict: Verdict,
    comparison: &Comparison,
    differences: &[Difference],
    reasons: &[Reason],
) -> String {
    let operations = format!(
        "{} {}s",
        count(comparison.operations.get().into()),
        comparison.operation
    );
    let with_units = |wanted: fn(&Difference) -> bool| -> Vec<String> {
        let found = comparison.counts.iter().zip(differences);
        let found = found.filter(|(_, difference)| wanted(difference));
        found
            .map(|(counted, difference)| describe(&counted.resource.unit, difference))
            .collect()
    };
    match verdict {
        Verdict::Clean => {
            let unchanged = with_units(|d| *d == Difference::Unchanged);
            format!(
                "{verdict}: {operations} left {} exactly as they were",
                list(&unchanged, "and")
            )
        }
        Verdict::Leak | Verdict::OverRelease => {
            let found = with_units(|d| !matches!(d, Difference::Unchanged | Difference::NotJudged { .. }));
            format!(
                "{verdict}: {} per {}, after {operations}",
                list(&found, "and"),
                comparison.operation
            )
        }
        Verdict::Inconclusive => inconclusive(reasons),
    }
}

fn describe(unit: &str, difference: &Difference) -> String {
    match difference {
        Difference::Leak { per_operation } | Difference::OverRelease { per_operation } => {
            format!("{} {unit}", figure(*per_operation))
        }
        Difference::Saturated => format!("{unit} beyond counting"),
        Difference::Unchanged | Difference::NotJudged { .. } => unit.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counted(resource: Resource, before: i64, after: i64) -> Counted {
        Counted {
            resource,
            before: Reading::Count(before),
            after: Reading::Count(after),
        }
    }

    fn references(before: i64, after: i64) -> Counted {
        counted(
            Resource::exact("user_references", "user references", 0.02),
            before,
            after,
        )
    }

    fn descriptors(before: i64, after: i64) -> Counted {
        counted(Resource::exact("descriptors", "descriptors", 0.02), before, after)
    }

    fn compared(counts: Vec<Counted>) -> Comparison {
        Comparison {
            operation: "sample".to_owned(),
            operations: NonZeroU32::new(200).unwrap(),
            counts,
        }
    }

    fn conclude(counts: Vec<Counted>) -> CountTestConclusion {
        CountTestConclusion::from_comparison(compared(counts), Control::Found)
    }

    #[test]
    fn no_difference_is_clean() {
        let conclusion = conclude(vec![references(0, 0), descriptors(12, 12)]);
        assert_eq!(conclusion.verdict, Verdict::Clean);
        assert_eq!(
            conclusion.sentence,
            "CLEAN: 200 samples left user references and descriptors exactly as they were"
        );
    }

    #[test]
    fn any_difference_is_a_finding_with_its_rate() {
        let leak = conclude(vec![references(0, 400), descriptors(12, 12)]);
        assert_eq!(leak.verdict, Verdict::Leak);
        assert_eq!(leak.differences[0], Difference::Leak { per_operation: 2.0 });
        assert_eq!(
            leak.sentence,
            "LEAK: 2 user references per sample, after 200 samples"
        );

        let single = conclude(vec![references(0, 0), descriptors(12, 13)]);
        assert_eq!(single.differences[1], Difference::Leak { per_operation: 0.005 });

        let over = conclude(vec![references(0, -200)]);
        assert_eq!(over.verdict, Verdict::OverRelease);
        assert_eq!(
            over.sentence,
            "OVER-RELEASE: -1 user references per sample, after 200 samples"
        );

        let both = conclude(vec![references(0, -1), descriptors(0, 1)]);
        assert_eq!(both.verdict, Verdict::Leak, "the worse of the two");

        let mut saturated = references(0, 0);
        saturated.after = Reading::Saturated;
        assert_eq!(conclude(vec![saturated]).verdict, Verdict::Leak);
    }

    #[test]
    fn what_was_not_read_is_not_clean() {
        let mut unread = descriptors(12, 12);
        unread.after = Reading::Missing("permission denied".to_owned());
        let conclusion = conclude(vec![references(0, 0), unread.clone()]);
        assert_eq!(conclusion.verdict, Verdict::Inconclusive);
        assert_eq!(
            conclusion.sentence,
            "INCONCLUSIVE: descriptors: a reading is missing: permission denied"
        );
        let missing = Reason::Blocker {
            resource: "descriptors".to_owned(),
            blocker: Blocker::ReadingMissing {
                reason: "permission denied".to_owned(),
            },
        };
        assert_eq!(conclusion.reasons, [missing]);
        let leak = conclude(vec![references(0, 1), unread]);
        assert_eq!(leak.verdict, Verdict::Leak, "a leak stays one");
        assert_eq!(leak.reasons, [], "of an inconclusive verdict alone");
        assert_eq!(conclude(vec![]).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn memory_is_neither_judged_nor_in_the_way() {
        let memory = || {
            counted(
                Resource::noisy("rss", "KiB of resident memory", 4.0, 0.1),
                1_000,
                9_000,
            )
        };
        let conclusion = conclude(vec![references(0, 0), memory()]);
        assert_eq!(conclusion.verdict, Verdict::Clean);
        assert!(!conclusion.sentence.contains("memory"), "{}", conclusion.sentence);
        assert_eq!(conclude(vec![memory()]).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn a_control_that_was_not_found_is_inconclusive() {
        let resource = "user_references".to_owned();
        let control = Control::NeverMoved { resource };
        let blind = CountTestConclusion::from_comparison(compared(vec![references(0, 0)]), control);
        assert_eq!(blind.verdict, Verdict::Inconclusive);
        assert!(
            blind.sentence.contains("the counts are broken"),
            "{}",
            blind.sentence
        );
    }

    #[test]
    fn it_is_written_flat() {
        let json = serde_json::to_value(conclude(vec![references(0, 400)])).unwrap();
        assert_eq!(json["verdict"], json!("leak"));
        assert_eq!(
            json["counts"][0],
            json!({"name": "user_references", "class": "exact", "lambda_star": 0.02, "tolerated": 0.0,
                   "unit": "user references", "before": 0, "after": 400})
        );
        assert_eq!(
            json["differences"][0],
            json!({"finding": "leak", "per_operation": 2.0})
        );
        assert_eq!(json["control"], json!({"outcome": "found"}));
    }
}
