//! The result of every defect, and of every run without one.

use std::collections::BTreeMap;

use anstream::println;
use comfy_table::{ContentArrangement, Table, presets};
use seeded_defects::{Catalogue, Defect};

use crate::FAILED;
use crate::trial::{CleanRun, Level, Trial};

/// Every trial and every run without a defect.
#[derive(Default)]
pub(crate) struct Tally {
    trials: Vec<Trial>,
    clean_runs: Vec<CleanRun>,
}

/// How many of the trials were right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Score {
    right: usize,
    of: usize,
}

impl Score {
    fn shown(self) -> String {
        if self.of == 0 {
            String::new()
        } else {
            format!("{} of {}", self.right, self.of)
        }
    }
}

impl Tally {
    pub(crate) fn add_trial(&mut self, trial: Trial) {
        self.trials.push(trial);
    }

    pub(crate) fn add_clean_run(&mut self, run: CleanRun) {
        self.clean_runs.push(run);
    }

    /// Whether a trial or a run of this level has another result than it should.
    pub(crate) fn has_mismatch(&self, level: Level) -> bool {
        self.trials
            .iter()
            .any(|trial| trial.level == level && trial.mismatch.is_some())
            || self
                .clean_runs
                .iter()
                .any(|run| run.level == level && run.false_positive.is_some())
    }

    /// The score of each defect at each level.
    fn scores(&self) -> BTreeMap<&str, BTreeMap<Level, Score>> {
        let mut scores: BTreeMap<&str, BTreeMap<Level, Score>> = BTreeMap::new();
        for trial in &self.trials {
            let score = scores
                .entry(&trial.defect)
                .or_default()
                .entry(trial.level)
                .or_default();
            score.of += 1;
            score.right += usize::from(trial.mismatch.is_none());
        }
        scores
    }

    /// The defects of the catalogue that were caught at every level where they were seeded.
    fn caught(&self, catalogue: &Catalogue) -> Score {
        let scores = self.scores();
        let defects = catalogue.defects();
        let is_caught = |defect: &&Defect<'_>| {
            let levels = scores.get(defect.id);
            levels.is_some_and(|levels| levels.values().all(|score| score.right == score.of))
        };
        Score {
            right: defects.iter().filter(is_caught).count(),
            of: defects.len(),
        }
    }

    /// The runs without a defect that raised no alarm.
    fn silent(&self, levels: &[Level]) -> Score {
        let runs = || self.clean_runs.iter().filter(|run| levels.contains(&run.level));
        Score {
            right: runs().filter(|run| run.false_positive.is_none()).count(),
            of: runs().count(),
        }
    }

    /// The last line.
    pub(crate) fn sentence(&self, catalogue: &Catalogue) -> String {
        let (caught, silent) = (self.caught(catalogue), self.silent(&Level::ALL));
        format!(
            "{} of {} defects caught by the right test, {} of {} false alarms",
            caught.right,
            caught.of,
            silent.of - silent.right,
            silent.of
        )
    }

    /// A defect that was seeded nowhere was not caught, and no runs prove nothing.
    pub(crate) fn passes(&self, catalogue: &Catalogue) -> bool {
        let (caught, silent) = (self.caught(catalogue), self.silent(&Level::ALL));
        caught.right == caught.of && silent.right == silent.of && silent.of > 0
    }

    /// Prints the tables, then every mismatch.
    pub(crate) fn print(&self, catalogue: &Catalogue) {
        let mut defects = table();
        defects.set_header(DEFECTS).add_rows(self.defect_lines(catalogue));
        let mut runs = table();
        runs.set_header(RUNS).add_rows(self.run_lines());
        println!("{defects}\n{runs}");
        for trial in &self.trials {
            if let Some(mismatch) = &trial.mismatch {
                let Trial {
                    defect, place, level, ..
                } = trial;
                println!(
                    "{FAILED}MISSED{FAILED:#} {defect}, {}, {place}: {mismatch}",
                    level.name()
                );
            }
        }
        for run in &self.clean_runs {
            if let Some(false_positive) = &run.false_positive {
                println!(
                    "{FAILED}FALSE ALARM{FAILED:#} {}, {}: {false_positive}",
                    run.level.name(),
                    run.description
                );
            }
        }
        let scores = self.scores();
        for defect in catalogue
            .defects()
            .iter()
            .filter(|defect| !scores.contains_key(defect.id))
        {
            println!("{FAILED}NOT SEEDED{FAILED:#} {}: nothing seeds it", defect.id);
        }
    }

    /// The tables of docs/selftest.md.
    pub(crate) fn markdown(&self, catalogue: &Catalogue) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let table = |head: &[&str], lines: Vec<Vec<String>>| {
            let head: Vec<String> = head.iter().map(ToString::to_string).collect();
            let rule = "|---".repeat(head.len()) + "|\n";
            row(&head) + &rule + &lines.iter().map(|line| row(line)).collect::<String>()
        };
        format!(
            "{}.\n\n{}\n{}",
            self.sentence(catalogue),
            table(&RUNS, self.run_lines()),
            table(&DEFECTS, self.defect_lines(catalogue))
        )
    }

    fn defect_lines(&self, catalogue: &Catalogue) -> Vec<Vec<String>> {
        let scores = self.scores();
        let line = |defect: &Defect<'_>| {
            let levels = scores.get(defect.id);
            let score = |level| {
                levels
                    .and_then(|levels| levels.get(level))
                    .copied()
                    .unwrap_or_default()
            };
            let cells = [defect.id, defect.what, &defect.found_by].map(str::to_owned);
            cells
                .into_iter()
                .chain(Level::ALL.iter().map(|level| score(level).shown()))
                .collect()
        };
        catalogue.defects().iter().map(line).collect()
    }

    fn run_lines(&self) -> Vec<Vec<String>> {
        let line = |level: &Level| {
            let silent = self.silent(&[*level]);
            let alarms = silent.of - silent.right;
            let bound = format!("{:.2} %", 100.0 * upper_bound(alarms, silent.of));
            vec![
                level.name().to_owned(),
                silent.of.to_string(),
                alarms.to_string(),
                bound,
            ]
        };
        let happened = |level: &&Level| self.silent(&[**level]).of > 0;
        Level::ALL.iter().filter(happened).map(line).collect()
    }
}

const DEFECTS: [&str; 7] = [
    "defect",
    "what is wrong",
    "found by",
    "recorded",
    "model",
    "simulated",
    "live",
];
const RUNS: [&str; 4] = [
    "runs without a defect",
    "of them",
    "false alarms",
    "at most (95 %)",
];

/// A table for standard output.
fn table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(150);
    }
    table
}

/// The highest rate at which so few of `runs` would still be seen in one of twenty series: Clopper and Pearson's bound.
fn upper_bound(alarms: usize, runs: usize) -> f64 {
    const LEVEL: f64 = 0.05;
    if alarms >= runs {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let rate = f64::midpoint(low, high);
        if at_most(alarms, runs, rate) > LEVEL {
            low = rate;
        } else {
            high = rate;
        }
    }
    high
}

/// The probability of at most so many of `runs` at this rate.
fn at_most(alarms: usize, runs: usize, rate: f64) -> f64 {
    let mut term = (1.0 - rate).powi(i32::try_from(runs).unwrap_or(i32::MAX));
    let mut sum = term;
    for nth in 1..=alarms {
        term *= (runs - nth + 1) as f64 / nth as f64 * rate / (1.0 - rate);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_clopper_and_pearsons() {
        for (alarms, runs, expected) in [
            (0, 1, 0.95),
            (0, 60, 0.048_703),
            (0, 1_000, 0.002_991),
            (1, 20, 0.216_106),
            (3, 40, 0.182_587),
            (5, 5, 1.0),
        ] {
            let bound = upper_bound(alarms, runs);
            assert!((bound - expected).abs() < 1e-5, "{alarms} of {runs}: {bound}");
        }
    }

    fn trial(defect: &str, mismatch: Option<&str>) -> Trial {
        Trial {
            defect: defect.to_owned(),
            level: Level::Recorded,
            place: "idle".to_owned(),
            mismatch: mismatch.map(str::to_owned),
        }
    }

    fn clean() -> CleanRun {
        CleanRun {
            level: Level::Live,
            description: "a run".to_owned(),
            false_positive: None,
        }
    }

    #[test]
    fn a_miss_a_false_alarm_or_a_defect_not_seeded_fails() {
        let catalogue = seeded_defects::catalogue();
        let all = || {
            let mut tally = Tally::default();
            catalogue
                .defects()
                .iter()
                .for_each(|defect| tally.add_trial(trial(defect.id, None)));
            tally
        };
        let mut good = all();
        assert!(!good.passes(&catalogue), "nothing without a defect was run");
        good.add_clean_run(clean());
        assert!(good.passes(&catalogue));
        let count = catalogue.defects().len();
        assert_eq!(
            good.sentence(&catalogue),
            format!("{count} of {count} defects caught by the right test, 0 of 1 false alarms")
        );

        let mut missed = all();
        missed.add_clean_run(clean());
        missed.add_trial(trial(
            catalogue.defects()[0].id,
            Some("not failed: 1.idle.platform"),
        ));
        assert!(!missed.passes(&catalogue));

        let mut alarmed = all();
        alarmed.add_clean_run(CleanRun {
            false_positive: Some("failed besides: 3.rise".to_owned()),
            ..clean()
        });
        assert!(!alarmed.passes(&catalogue));
        assert!(alarmed.sentence(&catalogue).ends_with("1 of 1 false alarms"));
        assert!(alarmed.has_mismatch(Level::Live) && !alarmed.has_mismatch(Level::Model));

        let mut unseeded = all();
        unseeded.add_clean_run(clean());
        unseeded.trials.pop();
        assert!(!unseeded.passes(&catalogue));
    }
}
