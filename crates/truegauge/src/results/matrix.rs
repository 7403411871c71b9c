//! Many runs, side by side: how often each check passed on each system, and what differs between them.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use checks::{Outcome, Row};

use super::{Leg, Results, Verdict};

/// Runs of one or more systems.
#[derive(Debug)]
pub(crate) struct Matrix {
    /// In alphabetical order.
    pub(crate) systems: Vec<System>,
    /// In the order of the first run that has each.
    pub(crate) lines: Vec<MatrixLine>,
    /// The highest upper bound of a leak among the runs of each system, by resource; one cell a system.
    pub(crate) bounds: BTreeMap<String, Vec<Option<f64>>>,
    /// What the environments do not agree on: the name, and every value with its runs.
    pub(crate) environments: Vec<(String, BTreeMap<String, usize>)>,
    /// The legs of a CI matrix that must have left results; empty where none are expected.
    pub(crate) legs: Vec<Leg>,
}

/// An operating system's version on an architecture.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) name: String,
    pub(crate) runs: usize,
    pub(crate) verdicts: BTreeMap<&'static str, usize>,
}

/// One check over the systems.
#[derive(Debug)]
pub(crate) struct MatrixLine {
    /// Without the label of a report.
    pub(crate) check: String,
    pub(crate) title: String,
    /// One a system.
    pub(crate) cells: Vec<Count>,
}

/// How many runs of a system a check passed, failed and was skipped in; a run in which it failed in one of its reports
/// has failed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Count {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Pass => self.passed += 1,
            Outcome::Fail => self.failed += 1,
            Outcome::Inconclusive => self.skipped += 1,
        }
    }

    pub(crate) fn runs(self) -> usize {
        self.passed + self.failed + self.skipped
    }

    /// The heaviest of its outcomes; `None` where no run had the check.
    pub(crate) fn outcome(self) -> Option<Outcome> {
        match self {
            Self { failed: 1.., .. } => Some(Outcome::Fail),
            Self { skipped: 1.., .. } => Some(Outcome::Inconclusive),
            Self { passed: 1.., .. } => Some(Outcome::Pass),
            _ => None,
        }
    }
}

impl MatrixLine {
    /// Whether the systems that have this check do not agree on it.
    pub(crate) fn differs(&self) -> bool {
        let outcomes: BTreeSet<Outcome> = self.cells.iter().filter_map(|count| count.outcome()).collect();
        outcomes.len() > 1
    }
}

impl Matrix {
    pub(crate) fn of<R: Borrow<Results>>(runs: &[R]) -> Self {
        let runs: Vec<&Results> = runs.iter().map(Borrow::borrow).collect();
        let names: BTreeSet<String> = runs.iter().map(|run| system(run)).collect();
        let names: Vec<String> = names.into_iter().collect();
        let column = |run: &Results| {
            names
                .iter()
                .position(|name| *name == system(run))
                .unwrap_or_default()
        };
        let mut matrix = Self {
            systems: names
                .iter()
                .map(|name| System {
                    name: name.clone(),
                    runs: 0,
                    verdicts: BTreeMap::new(),
                })
                .collect(),
            lines: Vec::new(),
            bounds: BTreeMap::new(),
            environments: environments(&runs),
            legs: Vec::new(),
        };
        let mut at = BTreeMap::new();
        for run in runs {
            matrix.add(run, column(run), &mut at);
        }
        matrix
    }

    fn add(&mut self, run: &Results, column: usize, at: &mut BTreeMap<String, usize>) {
        let system = &mut self.systems[column];
        system.runs += 1;
        *system.verdicts.entry(run.verdict.word()).or_default() += 1;
        for (check, (title, outcome)) in worst(run) {
            let line = *at.entry(check.clone()).or_insert_with(|| {
                self.lines.push(MatrixLine {
                    check,
                    title,
                    cells: vec![Count::default(); self.systems.len()],
                });
                self.lines.len() - 1
            });
            self.lines[line].cells[column].add(outcome);
        }
        let experiments = run.soak.iter().flat_map(|soak| &soak.experiments);
        for finding in experiments.flat_map(|experiment| &experiment.findings) {
            if let Some(bounds) = finding.bounds {
                let cells = self
                    .bounds
                    .entry(finding.resource.clone())
                    .or_insert_with(|| vec![None; self.systems.len()]);
                // The lowest of many bounds would promise more than any of them.
                let known = cells[column].get_or_insert(bounds.upper);
                *known = known.max(bounds.upper);
            }
        }
    }

    /// The verdict over all runs, by weight: a failure, nothing judged, something inconclusive, a pass. An expected leg that is
    /// not judged weighs as a run that judged nothing.
    pub(crate) fn verdict(&self) -> Verdict {
        let any = |verdict: Verdict| {
            let of_runs = self
                .systems
                .iter()
                .any(|system| system.verdicts.contains_key(verdict.word()));
            of_runs || (verdict == Verdict::Error && self.legs.iter().any(|leg| !leg.is_judged()))
        };
        [
            Verdict::Fail,
            Verdict::Error,
            Verdict::Inconclusive,
            Verdict::Pass,
        ]
        .into_iter()
        .find(|verdict| any(*verdict))
        .unwrap_or(Verdict::Error)
    }

    pub(crate) fn runs(&self) -> usize {
        self.systems.iter().map(|system| system.runs).sum()
    }

    /// The checks that not all systems agree on.
    pub(crate) fn differences(&self) -> impl Iterator<Item = &MatrixLine> {
        self.lines.iter().filter(|line| line.differs())
    }
}

fn system(run: &Results) -> String {
    let environment = &run.environment;
    let version = environment.os_version.as_ref().unwrap_or(&environment.os);
    match &environment.arch {
        Some(arch) => format!("{version}, {arch}"),
        None => version.clone(),
    }
}

/// Every check of a run with the heaviest outcome over its reports, in order.
fn worst(run: &Results) -> Vec<(String, (String, Outcome))> {
    let labels = run.labels();
    let mut checks: Vec<(String, (String, Outcome))> = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    for row in &run.checks {
        let check = without_label(row, &labels);
        match at.get(&check) {
            Some(index) => {
                let outcome = &mut checks[*index].1.1;
                *outcome = (*outcome).max(row.outcome());
            }
            None => {
                at.insert(check.clone(), checks.len());
                checks.push((check, (row.title.clone().unwrap_or_default(), row.outcome())));
            }
        }
    }
    checks
}

fn without_label(row: &Row, labels: &[&str]) -> String {
    let parts: Vec<&str> = row
        .check
        .split('.')
        .filter(|part| !labels.contains(part))
        .collect();
    parts.join(".")
}

fn environments(runs: &[&Results]) -> Vec<(String, BTreeMap<String, usize>)> {
    let mut values: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for run in runs {
        for (name, value) in run.environment.told() {
            *values
                .entry(name.to_owned())
                .or_default()
                .entry(value)
                .or_default() += 1;
        }
    }
    values
        .into_iter()
        .filter(|(_, values)| values.len() > 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    fn run(system: &str, verdict: Verdict) -> Results {
        let mut results = examples::failed();
        results.environment.os_version = Some(system.to_owned());
        results.verdict = verdict;
        if verdict == Verdict::Pass {
            for row in &mut results.checks {
                row.passed = Some(true);
            }
        }
        results
    }

    fn cells(matrix: &Matrix, check: &str) -> Vec<(usize, usize, usize)> {
        let line = matrix.lines.iter().find(|line| line.check == check).expect(check);
        line.cells
            .iter()
            .map(|count| (count.passed, count.failed, count.skipped))
            .collect()
    }

    #[test]
    fn runs_are_counted_by_system() {
        let matrix = Matrix::of(&[
            run("B", Verdict::Pass),
            run("A", Verdict::Pass),
            run("B", Verdict::Fail),
            run("B", Verdict::Pass),
        ]);
        let systems: Vec<_> = matrix
            .systems
            .iter()
            .map(|system| (system.name.as_str(), system.runs))
            .collect();
        assert_eq!(systems, [("A, x86_64", 1), ("B, x86_64", 3)]);
        assert_eq!(cells(&matrix, "3.process"), [(1, 0, 0), (2, 1, 0)]);
        assert_eq!(cells(&matrix, "6.names"), [(1, 0, 0), (2, 0, 1)]);
        assert_eq!((matrix.verdict(), matrix.runs()), (Verdict::Fail, 4));
    }

    #[test]
    fn only_what_systems_do_not_agree_on_differs() {
        let differing = |runs: &[Results]| -> Vec<String> {
            let matrix = Matrix::of(runs);
            matrix.differences().map(|line| line.check.clone()).collect()
        };
        assert!(differing(&[run("A", Verdict::Pass), run("B", Verdict::Pass)]).is_empty());
        assert!(differing(&[run("A", Verdict::Fail), run("B", Verdict::Fail)]).is_empty());
        assert_eq!(
            differing(&[run("A", Verdict::Pass), run("B", Verdict::Fail)]),
            ["3.process", "6.names"]
        );
        let mut without = run("B", Verdict::Pass);
        without.checks.clear();
        assert!(
            differing(&[run("A", Verdict::Fail), without]).is_empty(),
            "what B lacks says nothing"
        );
    }

    #[test]
    fn the_heaviest_verdict_is_theirs_together() {
        use Verdict::{Error, Fail, Inconclusive, Pass};
        for (verdicts, expected) in [
            (&[Pass, Pass][..], Pass),
            (&[Pass, Inconclusive], Inconclusive),
            (&[Inconclusive, Fail], Fail),
            (&[Fail, Error], Fail),
            (&[Pass, Error], Error),
            (&[], Error),
        ] {
            let runs: Vec<Results> = verdicts.iter().map(|verdict| run("A", *verdict)).collect();
            assert_eq!(Matrix::of(&runs).verdict(), expected);
        }
    }

    #[test]
    fn the_weakest_bound_and_the_differing_environments_are_told() {
        let mut weaker = run("A", Verdict::Pass);
        weaker.soak.as_mut().expect("a soak").experiments[0].findings[0]
            .bounds
            .as_mut()
            .expect("bounds")
            .upper = 0.01;
        weaker.environment.logical_cpus = Some(8);
        let matrix = Matrix::of(&[run("A", Verdict::Pass), weaker, run("B", Verdict::Pass)]);
        assert_eq!(matrix.bounds["threads"], [Some(0.01), Some(0.004)]);
        let names: Vec<_> = matrix
            .environments
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["logical CPUs", "system"]);
    }
}
