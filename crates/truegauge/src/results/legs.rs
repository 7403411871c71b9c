//! The legs of a CI matrix: those without results, those of another revision, and retries.

use std::collections::BTreeMap;
use std::fmt;

use super::{Results, Verdict};

/// A leg whose results a summary expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) name: String,
    /// The verdicts of its runs in their order; empty if the leg left no results.
    pub(crate) verdicts: Vec<Verdict>,
    /// The revision of its runs, if most runs of all legs are of another one.
    pub(crate) other_revision: Option<String>,
}

impl Leg {
    /// True if its results count: there are some, and they are of the revision of most runs.
    pub(crate) fn is_judged(&self) -> bool {
        !self.verdicts.is_empty() && self.other_revision.is_none()
    }
}

/// `inconclusive, pass, of revision abc`.
impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.verdicts.is_empty() {
            return f.write_str("no results");
        }
        let words: Vec<&str> = self.verdicts.iter().map(|verdict| verdict.word()).collect();
        f.write_str(&words.join(", "))?;
        match &self.other_revision {
            Some(revision) => write!(f, ", of revision {revision}"),
            None => Ok(()),
        }
    }
}

/// The expected legs. `runs` are all runs, each with the name of its leg.
pub(crate) fn legs(expected: &[String], runs: &[(String, &Results)]) -> Vec<Leg> {
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for (_, run) in runs {
        *numbers.entry(revision(run)).or_default() += 1;
    }
    let most = numbers.iter().max_by_key(|(_, number)| **number);
    let leg = |name: &String| {
        let mut of_leg: Vec<&Results> = runs
            .iter()
            .filter(|(leg, _)| leg == name)
            .map(|(_, run)| *run)
            .collect();
        of_leg.sort_by_key(|run| &run.run.started_at);
        let mut revisions = of_leg.iter().map(|run| revision(run));
        Leg {
            name: name.clone(),
            verdicts: of_leg.iter().map(|run| run.verdict).collect(),
            other_revision: revisions.find(|revision| most.is_some_and(|(most, _)| most != revision)),
        }
    };
    expected.iter().map(leg).collect()
}

/// True if the run was INCONCLUSIVE and its leg ran the same command again later.
pub(crate) fn is_retried(index: usize, runs: &[(String, &Results)]) -> bool {
    let (leg, run) = &runs[index];
    run.verdict == Verdict::Inconclusive
        && runs.iter().any(|(other, later)| {
            other == leg && command(later) == command(run) && later.run.started_at > run.run.started_at
        })
}

fn revision(run: &Results) -> String {
    let revision = run.environment.git_revision.as_deref();
    revision.unwrap_or("unknown").to_owned()
}

/// The command line without the seed, which each run of a soak draws anew.
fn command(run: &Results) -> String {
    match &run.run.seed {
        Some(seed) => run.run.command.replace(&format!(" --seed {seed}"), ""),
        None => run.run.command.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    fn run(leg: &str, verdict: Verdict, minute: u32) -> (String, Results) {
        let mut results = examples::failed();
        results.verdict = verdict;
        results.run.started_at = format!("2026-11-22T20:{minute:02}:00Z");
        (leg.to_owned(), results)
    }

    fn borrowed(runs: &[(String, Results)]) -> Vec<(String, &Results)> {
        runs.iter().map(|(leg, run)| (leg.clone(), run)).collect()
    }

    fn states(expected: &[&str], runs: &[(String, Results)]) -> Vec<(String, bool)> {
        let expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        let of = |leg: &Leg| (leg.to_string(), leg.is_judged());
        legs(&expected, &borrowed(runs)).iter().map(of).collect()
    }

    #[test]
    fn legs_without_results_and_of_another_revision_are_not_judged() {
        let mut old = run("b", Verdict::Pass, 2);
        old.1.environment.git_revision = Some("0ld".to_owned());
        let runs = [
            run("a", Verdict::Pass, 3),
            run("a", Verdict::Inconclusive, 1),
            old,
            run("unexpected", Verdict::Fail, 4),
        ];
        let told = |text: &str, judged| (text.to_owned(), judged);
        assert_eq!(
            states(&["a", "b", "c"], &runs),
            [
                told("inconclusive, pass", true),
                told("pass, of revision 0ld", false),
                told("no results", false)
            ]
        );
        assert_eq!(states(&["a"], &[]), [told("no results", false)]);
    }

    #[test]
    fn a_run_without_a_revision_is_of_another_one() {
        let mut unknown = run("b", Verdict::Pass, 2);
        unknown.1.environment.git_revision = None;
        let runs = [run("a", Verdict::Pass, 1), run("a", Verdict::Pass, 2), unknown];
        assert_eq!(states(&["b"], &runs)[0].0, "pass, of revision unknown");
    }

    #[test]
    fn only_an_inconclusive_run_that_its_leg_ran_again_is_retried() {
        use Verdict::{Fail, Inconclusive, Pass};
        let (first, later) = (run("a", Inconclusive, 1), run("a", Pass, 2));
        let retried = |runs: [(String, Results); 2]| is_retried(0, &borrowed(&runs));
        assert!(retried([first.clone(), later.clone()]));
        assert!(retried([first.clone(), run("a", Fail, 2)]));
        assert!(!retried([first.clone(), run("b", Pass, 2)]), "of another leg");
        assert!(!retried([first.clone(), run("a", Pass, 0)]), "earlier");
        assert!(!retried([run("a", Fail, 1), later.clone()]), "not inconclusive");
        let mut other = later.clone();
        other.1.run.command = "cargo xtask verify --source qemu".to_owned();
        assert!(!retried([first.clone(), other]), "of another command");
        let mut soaks = [first, later];
        for ((_, run), seed) in soaks.iter_mut().zip(["0123", "4567"]) {
            run.run.seed = Some(seed.to_owned());
            run.run.command = format!("cargo xtask soak --hours 1 --seed {seed}");
        }
        assert!(retried(soaks), "each soak draws its own seed");
    }
}
