//! What became of every mutant, beside what is explained.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::explained::Explained;

/// `outcomes.json`, of which this is what matters.
#[derive(Debug, Deserialize)]
pub(super) struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: Fate,
}

#[derive(Debug, Deserialize)]
enum Scenario {
    /// The tests without any mutant.
    Baseline,
    Mutant {
        name: String,
    },
}

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Fate {
    #[serde(rename = "CaughtMutant")]
    Caught,
    #[serde(rename = "MissedMutant")]
    Missed,
    Timeout,
    #[serde(rename = "Unviable")]
    Unbuildable,
    /// Of the baseline alone.
    Success,
    /// Of the baseline alone.
    Failure,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caught => "caught",
            Self::Missed => "no test notices",
            Self::Timeout => "the tests do not end",
            Self::Unbuildable => "it does not build",
            Self::Success => "success",
            Self::Failure => "failure",
        })
    }
}

/// A mutant that was tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mutant {
    /// `FILE:LINE:COLUMN: CHANGE`.
    pub(super) name: String,
    pub(super) fate: Fate,
}

impl Outcomes {
    pub(super) fn mutants(self) -> Vec<Mutant> {
        let mutant = |outcome: Outcome| match outcome.scenario {
            Scenario::Baseline => None,
            Scenario::Mutant { name } => Some(Mutant {
                name,
                fate: outcome.summary,
            }),
        };
        self.outcomes.into_iter().filter_map(mutant).collect()
    }
}

impl Mutant {
    fn is_noticed(&self) -> bool {
        matches!(self.fate, Fate::Caught | Fate::Unbuildable)
    }

    /// `FILE: CHANGE`: a name that stays when lines move. Several places of a function may share one.
    fn lasting_name(&self) -> String {
        match self.name.split_once(": ") {
            Some((place, change)) => format!("{}: {change}", file_of(place)),
            None => self.name.clone(),
        }
    }
}

/// The file of a `FILE:LINE:COLUMN` or of a `FILE: CHANGE`.
pub(super) fn file_of(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// How many mutants came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) caught: usize,
    pub(super) explained: usize,
    pub(super) unexplained: usize,
    pub(super) unbuildable: usize,
}

impl Count {
    pub(super) fn mutants(self) -> usize {
        self.caught + self.explained + self.unexplained + self.unbuildable
    }
}

/// Mutants, sorted by whether they were noticed.
#[derive(Debug, Default)]
pub(super) struct Sorted<'a> {
    /// By file.
    pub(super) files: BTreeMap<&'a str, Count>,
    /// Survivors that nobody explains. Where some places of a name are explained and more survive, all of them.
    pub(super) unexplained: Vec<&'a Mutant>,
    /// Explanations of more places than survive.
    pub(super) stale: Vec<&'a Explained>,
}

impl<'a> Sorted<'a> {
    /// `tested` are all mutants or some; `all` has the lasting name of each. What was not tested may survive, so that no
    /// explanation of it is stale.
    pub(super) fn of(tested: &'a [Mutant], all: &[String], explained: &'a [Explained]) -> Self {
        let mut sorted = Self::default();
        let mut by_name: BTreeMap<String, Vec<&Mutant>> = BTreeMap::new();
        for mutant in tested {
            by_name.entry(mutant.lasting_name()).or_default().push(mutant);
        }
        for (name, mutants) in &by_name {
            let survivors: Vec<&Mutant> = mutants.iter().filter(|it| !it.is_noticed()).copied().collect();
            let places = explained
                .iter()
                .find(|it| it.name == *name)
                .map_or(0, |it| it.places);
            let with = |fate| mutants.iter().filter(|mutant| mutant.fate == fate).count();

            let count = sorted.files.entry(file_of(&mutants[0].name)).or_default();
            count.caught += with(Fate::Caught);
            count.unbuildable += with(Fate::Unbuildable);
            count.explained += survivors.len().min(places);
            count.unexplained += survivors.len().saturating_sub(places);
            if survivors.len() > places {
                sorted.unexplained.extend(survivors);
            }
        }
        let is_stale = |explained: &&Explained| {
            let there = all.iter().filter(|name| **name == explained.name).count();
            let noticed = by_name.get(&explained.name).into_iter().flatten();
            let noticed = noticed.filter(|mutant| mutant.is_noticed()).count();
            there.saturating_sub(noticed) < explained.places
        };
        sorted.stale = explained.iter().filter(is_stale).collect();
        sorted
    }

    pub(super) fn passed(&self) -> bool {
        self.unexplained.is_empty() && self.stale.is_empty()
    }

    /// The last line.
    pub(super) fn sentence(&self) -> String {
        let sum = |of: fn(&Count) -> usize| self.files.values().map(of).sum::<usize>();
        let mut sentence = format!(
            "{} mutants: {} caught, {} explained, {} unexplained, {} unbuildable",
            sum(|count| count.mutants()),
            sum(|count| count.caught),
            sum(|count| count.explained),
            sum(|count| count.unexplained),
            sum(|count| count.unbuildable),
        );
        if !self.stale.is_empty() {
            sentence += &format!("; stale explanations: {}", self.stale.len());
        }
        sentence
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LESS: &str = "a.rs: replace < with > in f";
    const PLUS: &str = "a.rs: replace + with - in f";

    fn mutant(name: &str, fate: Fate) -> Mutant {
        Mutant {
            name: name.to_owned(),
            fate,
        }
    }

    fn explained(name: &str, places: usize) -> Explained {
        Explained {
            name: name.to_owned(),
            places,
            why: "it makes no difference".to_owned(),
        }
    }

    /// The last line, and whether that is a pass, of mutants in `f` of a.rs: `<` in one place, `+` in two.
    fn judged(fates: &[(&str, Fate)], explained: &[Explained]) -> (String, bool) {
        let all = [LESS, PLUS, PLUS].map(str::to_owned);
        let tested: Vec<Mutant> = fates.iter().map(|(name, fate)| mutant(name, *fate)).collect();
        let sorted = Sorted::of(&tested, &all, explained);
        (sorted.sentence(), sorted.passed())
    }

    #[test]
    fn every_survivor_has_an_explanation_and_every_explanation_a_survivor() {
        use Fate::{Caught, Missed, Timeout, Unbuildable};
        let less = |fate| ("a.rs:3:7: replace < with > in f", fate);
        let first = |fate| ("a.rs:4:7: replace + with - in f", fate);
        let second = |fate| ("a.rs:4:9: replace + with - in f", fate);
        type Case<'a> = (&'a [(&'a str, Fate)], &'a [Explained], &'a str, bool);
        let cases: [Case<'_>; _] = [
            (
                &[less(Caught), first(Caught), second(Unbuildable)],
                &[],
                "3 mutants: 2 caught, 0 explained, 0 unexplained, 1 unbuildable",
                true,
            ),
            (
                &[less(Missed), first(Caught), second(Timeout)],
                &[explained(LESS, 1), explained(PLUS, 1)],
                "3 mutants: 1 caught, 2 explained, 0 unexplained, 0 unbuildable",
                true,
            ),
            (
                &[less(Missed), first(Caught), second(Caught)],
                &[],
                "3 mutants: 2 caught, 0 explained, 1 unexplained, 0 unbuildable",
                false,
            ),
            (
                &[less(Timeout), first(Caught), second(Caught)],
                &[],
                "3 mutants: 2 caught, 0 explained, 1 unexplained, 0 unbuildable",
                false,
            ),
            // One place is explained, and two survive.
            (
                &[less(Caught), first(Missed), second(Missed)],
                &[explained(PLUS, 1)],
                "3 mutants: 1 caught, 1 explained, 1 unexplained, 0 unbuildable",
                false,
            ),
            // Two are explained, and one is caught by now.
            (
                &[less(Caught), first(Missed), second(Caught)],
                &[explained(PLUS, 2)],
                "3 mutants: 2 caught, 1 explained, 0 unexplained, 0 unbuildable; stale explanations: 1",
                false,
            ),
            (
                &[less(Caught), first(Caught), second(Caught)],
                &[explained(LESS, 1)],
                "3 mutants: 3 caught, 0 explained, 0 unexplained, 0 unbuildable; stale explanations: 1",
                false,
            ),
            (
                &[less(Unbuildable), first(Caught), second(Caught)],
                &[explained(LESS, 1)],
                "3 mutants: 2 caught, 0 explained, 0 unexplained, 1 unbuildable; stale explanations: 1",
                false,
            ),
            // A mutant that is there no more.
            (
                &[less(Caught), first(Caught), second(Caught)],
                &[explained("a.rs: replace / with * in f", 1)],
                "3 mutants: 3 caught, 0 explained, 0 unexplained, 0 unbuildable; stale explanations: 1",
                false,
            ),
            // A part of all mutants: what it has not tested may survive.
            (
                &[less(Caught)],
                &[explained(PLUS, 2)],
                "1 mutants: 1 caught, 0 explained, 0 unexplained, 0 unbuildable",
                true,
            ),
            (
                &[first(Caught)],
                &[explained(PLUS, 1)],
                "1 mutants: 1 caught, 0 explained, 0 unexplained, 0 unbuildable",
                true,
            ),
            // But of two places, one of which is caught, no two survive.
            (
                &[first(Caught)],
                &[explained(PLUS, 2)],
                "1 mutants: 1 caught, 0 explained, 0 unexplained, 0 unbuildable; stale explanations: 1",
                false,
            ),
        ];
        for (fates, explained, sentence, passed) in cases {
            assert_eq!(
                judged(fates, explained),
                (sentence.to_owned(), passed),
                "{fates:?}"
            );
        }
    }

    #[test]
    fn files_are_counted_apart_and_survivors_named_by_their_places() {
        let tested = [
            mutant("a.rs:3:7: replace < with > in f", Fate::Missed),
            mutant(
                "b.rs:1:1: delete ! in <impl fmt::Display for B>::fmt",
                Fate::Caught,
            ),
        ];
        let all: Vec<String> = tested.iter().map(Mutant::lasting_name).collect();
        assert_eq!(all[1], "b.rs: delete ! in <impl fmt::Display for B>::fmt");
        let sorted = Sorted::of(&tested, &all, &[]);
        assert_eq!(sorted.unexplained, [&tested[0]]);
        assert_eq!(
            (sorted.files["a.rs"].unexplained, sorted.files["b.rs"].caught),
            (1, 1)
        );
    }

    #[test]
    fn outcomes_are_read_as_cargo_mutants_27_writes_them() {
        let outcome =
            |scenario, summary: &str| json!({"scenario": scenario, "summary": summary, "phase_results": []});
        let named = |name: &str| json!({"Mutant": {"name": name, "file": "a.rs", "genre": "BinaryOperator"}});
        let written = json!({"cargo_mutants_version": "27.1.0", "outcomes": [
            outcome(json!("Baseline"), "Success"),
            outcome(named("a"), "CaughtMutant"),
            outcome(named("b"), "MissedMutant"),
            outcome(named("c"), "Timeout"),
            outcome(named("d"), "Unviable"),
        ]});
        let read: Outcomes = serde_json::from_value(written).expect("read");
        let fates: Vec<Fate> = read.mutants().iter().map(|mutant| mutant.fate).collect();
        assert_eq!(
            fates,
            [Fate::Caught, Fate::Missed, Fate::Timeout, Fate::Unbuildable]
        );
        let unknown = json!({"outcomes": [outcome(named("a"), "Escaped")]});
        assert!(serde_json::from_value::<Outcomes>(unknown).is_err());
    }
}
