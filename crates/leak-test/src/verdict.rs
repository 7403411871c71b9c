//! The verdict over one or two experiments and the positive control.

use std::fmt;

use serde::Serialize;

use super::analysis::{Analysis, Blocker, Finding, ResourceAnalysis};
use super::control::Control;
use super::format::{count, figure, list};

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A leak of λ* or more is ruled out for everything that was to be judged.
    Clean,
    /// It is neither clean nor proved to leak.
    Inconclusive,
    /// Operations release more than they take.
    OverRelease,
    /// Operations leak.
    Leak,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clean => "CLEAN",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::OverRelease => "OVER-RELEASE",
            Self::Leak => "LEAK",
        })
    }
}

/// Why a verdict is inconclusive.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// One experiment found something; a second one, of a fresh process and another seed, has to follow.
    Unconfirmed {
        /// Of which resource.
        resource: String,
    },
    /// One of two experiments found something that the other did not.
    NotConfirmed {
        /// Of which resource.
        resource: String,
    },
    /// Something stands in the way of finding a resource clean.
    Blocker {
        /// Of which resource.
        resource: String,
        /// What.
        #[serde(flatten)]
        blocker: Blocker,
    },
    /// There were too few pairs.
    TooFewPairs {
        /// How many there were.
        pairs: usize,
        /// How many there have to be.
        needs_pairs: usize,
    },
    /// No resource was judged.
    NothingJudged,
    /// The control was not found.
    Control {
        /// What became of it.
        control: Control,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unconfirmed { resource } => {
                write!(
                    f,
                    "{resource}: something was found, and no second experiment has confirmed it"
                )
            }
            Self::NotConfirmed { resource } => {
                write!(f, "{resource}: only one of two experiments found something")
            }
            Self::Blocker { resource, blocker } => write!(f, "{resource}: {blocker}"),
            Self::TooFewPairs { pairs, needs_pairs } => {
                write!(f, "{pairs} pairs of blocks were completed, needs {needs_pairs}")
            }
            Self::NothingJudged => f.write_str("no resource was judged"),
            Self::Control { control } => control.fmt(f),
        }
    }
}

/// The verdict, and all that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conclusion {
    /// In a word.
    pub verdict: Verdict,
    /// In a sentence: what was proved.
    pub sentence: String,
    /// The names of the resources that leak.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<String>,
    /// The names of the resources of which too much is released.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub over_releases: Vec<String>,
    /// Why it is inconclusive, where it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The positive control.
    pub control: Control,
    /// The experiment, and the one that was to confirm it.
    pub experiments: Vec<Analysis>,
}

impl Conclusion {
    /// Concludes from an experiment, from a second one if the first [asked for it](Analysis::needs_confirmation), and from
    /// the positive control.
    ///
    /// - LEAK (or over-release): both experiments found it in the same resource; or a resource stood at its ceiling in either.
    /// - CLEAN: every resource that was to be judged is ruled out to leak λ* or more, and the control was found.
    /// - INCONCLUSIVE otherwise, with every reason.
    #[must_use]
    pub fn from_experiments(first: Analysis, second: Option<Analysis>, control: Control) -> Self {
        let experiments: Vec<Analysis> = [Some(first), second].into_iter().flatten().collect();
        let leaks = confirmed(&experiments, &Finding::Leak);
        let over_releases = confirmed(&experiments, &Finding::OverRelease);
        let mut reasons = reasons(&experiments, &control);
        let verdict = if !leaks.is_empty() {
            Verdict::Leak
        } else if !over_releases.is_empty() {
            Verdict::OverRelease
        } else if reasons.is_empty() {
            Verdict::Clean
        } else {
            Verdict::Inconclusive
        };
        let sentence = match verdict {
            Verdict::Clean => clean(&experiments),
            Verdict::Inconclusive => inconclusive(&reasons),
            Verdict::Leak => found(verdict, &experiments, &leaks),
            Verdict::OverRelease => found(verdict, &experiments, &over_releases),
        };
        if verdict != Verdict::Inconclusive {
            reasons.clear();
        }
        Self {
            verdict,
            sentence,
            leaks,
            over_releases,
            reasons,
            control,
            experiments,
        }
    }
}

/// The resources of which both experiments found this. A ceiling needs no confirmation; the same assignment again confirms nothing.
fn confirmed(experiments: &[Analysis], wanted: &Finding) -> Vec<String> {
    let first = &experiments[0];
    let other_assignment = experiments.iter().any(|analysis| analysis.seed != first.seed);
    let in_all = |name: &str| {
        let found = |analysis: &Analysis| analysis.resource(name).is_some_and(|r| r.finding == *wanted);
        experiments.iter().all(found)
    };
    let names = first.resources.iter().map(|resource| &resource.resource.name);
    let named = names.filter(|name| {
        (other_assignment && in_all(name)) || (*wanted == Finding::Leak && is_saturated(experiments, name))
    });
    named.cloned().collect()
}

/// Whether it stood at its ceiling in either experiment.
fn is_saturated(experiments: &[Analysis], name: &str) -> bool {
    let mut analyses = experiments.iter().filter_map(|analysis| analysis.resource(name));
    analyses.any(|resource| resource.finding == Finding::Saturated)
}

/// What keeps the experiments from being clean.
fn reasons(experiments: &[Analysis], control: &Control) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |reason: Reason| {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    };
    for analysis in experiments {
        let mut judged = false;
        for ResourceAnalysis {
            resource, finding, ..
        } in &analysis.resources
        {
            let resource = resource.name.clone();
            match finding {
                Finding::RuledOut => judged = true,
                Finding::Leak | Finding::OverRelease | Finding::Saturated => {
                    judged = true;
                    add(if experiments.len() == 1 {
                        Reason::Unconfirmed { resource }
                    } else {
                        Reason::NotConfirmed { resource }
                    });
                }
                // Known before the run, and no fault of it; nor does it pass.
                Finding::NotJudged(Blocker::RunTooShort { .. }) => {}
                &Finding::NotJudged(Blocker::TooFewPairs { pairs, needs_pairs }) => {
                    judged = true;
                    add(Reason::TooFewPairs { pairs, needs_pairs });
                }
                Finding::Undecided(blocker) | Finding::NotJudged(blocker) => {
                    judged = true;
                    let blocker = blocker.clone();
                    add(Reason::Blocker { resource, blocker });
                }
            }
        }
        if !judged {
            add(Reason::NothingJudged);
        }
    }
    if !control.found() {
        let control = control.clone();
        add(Reason::Control { control });
    }
    reasons
}

pub(super) fn inconclusive(reasons: &[Reason]) -> String {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    format!("{}: {}", Verdict::Inconclusive, reasons.join("; "))
}

/// What a clean run proved, in the figures of its last experiment.
fn clean(experiments: &[Analysis]) -> String {
    let analysis = experiments.last().expect("there is a first experiment");
    let judged = || {
        let resources = analysis.resources.iter();
        resources.filter(|resource| resource.finding == Finding::RuledOut)
    };
    let ruled_out: Vec<String> = judged()
        .map(|r| format!("{} {}", r.resource.lambda_star, r.resource.unit))
        .collect();
    let smallest = judged().map(|r| r.power.map(|power| figure(power.smallest())));
    let detectable: Vec<String> = smallest.flatten().collect();
    let left_out = analysis.resources.iter().filter_map(|r| match &r.finding {
        Finding::NotJudged(blocker) => Some(format!("; {}: {blocker}", r.resource.unit)),
        _ => None,
    });
    format!(
        "{}: a leak above {} per {} is ruled out (99 %); {} would have been found (90 % power); {}{}",
        Verdict::Clean,
        list(&ruled_out, "or"),
        analysis.operation,
        list(&detectable, "or"),
        extent(analysis),
        left_out.collect::<String>()
    )
}

/// What leaks, in the figures of the first experiment.
fn found(verdict: Verdict, experiments: &[Analysis], names: &[String]) -> String {
    let analysis = &experiments[0];
    let mut needed_confirmation = false;
    let found = names.iter().filter_map(|name| analysis.resource(name)).map(|r| {
        let unit = &r.resource.unit;
        if is_saturated(experiments, &r.resource.name) {
            return format!("{unit} reached the ceiling beyond which the system counts no further");
        }
        needed_confirmation = true;
        let estimate = r.estimate.as_ref().expect("a finding has an estimate");
        let rate = format!(
            "{} {unit} per {}",
            figure(estimate.per_operation),
            analysis.operation
        );
        match (estimate.lower, estimate.upper) {
            (Some(lower), Some(upper)) => {
                format!("{rate} (99 %: {} to {})", figure(lower), figure(upper))
            }
            _ => rate,
        }
    });
    let found = list(&found.collect::<Vec<_>>(), "and");
    let confirmation = if needed_confirmation {
        "; confirmed by a second experiment"
    } else {
        ""
    };
    format!("{verdict}: {found}; {}{confirmation}", extent(analysis))
}

/// `6,000 samples, 60 pairs`.
fn extent(analysis: &Analysis) -> String {
    let operations = count(analysis.operations);
    format!("{operations} {}s, {} pairs", analysis.operation, analysis.pairs)
}
