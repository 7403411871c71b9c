//! What became of every defect, and of every run without one.

use std::collections::BTreeMap;

use anstream::println;
use seeded_defects::{Catalogue, Defect};

use super::{Ground, SoundRun, Trial};
use crate::exit::Exit;
use crate::present::{FAILED, table};

/// Everything that was tried.
#[derive(Default)]
pub(crate) struct Tally {
    trials: Vec<Trial>,
    sound: Vec<SoundRun>,
}

/// Of so many trials so many were right.
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
    pub(crate) fn trial(&mut self, trial: Trial) {
        self.trials.push(trial);
    }

    pub(crate) fn sound(&mut self, run: SoundRun) {
        self.sound.push(run);
    }

    /// Whether something of this ground was not as it should be.
    pub(crate) fn has_wrong(&self, ground: Ground) -> bool {
        self.trials
            .iter()
            .any(|trial| trial.ground == ground && trial.wrong.is_some())
            || self
                .sound
                .iter()
                .any(|run| run.ground == ground && run.alarm.is_some())
    }

    /// Of each defect, how it fared on each ground.
    fn scores(&self) -> BTreeMap<&str, BTreeMap<Ground, Score>> {
        let mut scores: BTreeMap<&str, BTreeMap<Ground, Score>> = BTreeMap::new();
        for trial in &self.trials {
            let score = scores
                .entry(&trial.defect)
                .or_default()
                .entry(trial.ground)
                .or_default();
            score.of += 1;
            score.right += usize::from(trial.wrong.is_none());
        }
        scores
    }

    /// The defects of the catalogue that were caught, wherever they were seeded.
    fn caught(&self, catalogue: &Catalogue) -> Score {
        let scores = self.scores();
        let defects = catalogue.defects();
        let is_caught = |defect: &&Defect<'_>| {
            let grounds = scores.get(defect.id);
            grounds.is_some_and(|grounds| grounds.values().all(|score| score.right == score.of))
        };
        Score {
            right: defects.iter().filter(is_caught).count(),
            of: defects.len(),
        }
    }

    /// The runs without a defect that raised no alarm.
    fn silent(&self, grounds: &[Ground]) -> Score {
        let runs = || self.sound.iter().filter(|run| grounds.contains(&run.ground));
        Score {
            right: runs().filter(|run| run.alarm.is_none()).count(),
            of: runs().count(),
        }
    }

    /// The last line.
    pub(crate) fn sentence(&self, catalogue: &Catalogue) -> String {
        let (caught, silent) = (self.caught(catalogue), self.silent(&Ground::ALL));
        format!(
            "{} of {} defects caught by the right test, {} of {} false alarms",
            caught.right,
            caught.of,
            silent.of - silent.right,
            silent.of
        )
    }

    /// A defect that was seeded nowhere has not been caught, and runs that did not take place were not silent.
    pub(crate) fn exit(&self, catalogue: &Catalogue) -> Exit {
        let (caught, silent) = (self.caught(catalogue), self.silent(&Ground::ALL));
        if caught.right == caught.of && silent.right == silent.of && silent.of > 0 {
            Exit::Pass
        } else {
            Exit::Fail
        }
    }

    /// The tables, then everything that was not as it should be.
    pub(crate) fn print(&self, catalogue: &Catalogue) {
        let mut defects = table::empty();
        defects.set_header(DEFECTS).add_rows(self.defect_lines(catalogue));
        let mut runs = table::empty();
        runs.set_header(RUNS).add_rows(self.run_lines());
        println!("{defects}\n{runs}");
        for trial in &self.trials {
            if let Some(wrong) = &trial.wrong {
                let Trial {
                    defect,
                    place,
                    ground,
                    ..
                } = trial;
                println!(
                    "{FAILED}MISSED{FAILED:#} {defect}, {}, {place}: {wrong}",
                    ground.name()
                );
            }
        }
        for run in &self.sound {
            if let Some(alarm) = &run.alarm {
                println!(
                    "{FAILED}FALSE ALARM{FAILED:#} {}, {}: {alarm}",
                    run.ground.name(),
                    run.what
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
            let grounds = scores.get(defect.id);
            let score = |ground| {
                grounds
                    .and_then(|grounds| grounds.get(ground))
                    .copied()
                    .unwrap_or_default()
            };
            let cells = [defect.id, defect.what, &defect.found_by].map(str::to_owned);
            cells
                .into_iter()
                .chain(Ground::ALL.iter().map(|ground| score(ground).shown()))
                .collect()
        };
        catalogue.defects().iter().map(line).collect()
    }

    fn run_lines(&self) -> Vec<Vec<String>> {
        let line = |ground: &Ground| {
            let silent = self.silent(&[*ground]);
            let alarms = silent.of - silent.right;
            let bound = format!("{:.2} %", 100.0 * upper_bound(alarms, silent.of));
            vec![
                ground.name().to_owned(),
                silent.of.to_string(),
                alarms.to_string(),
                bound,
            ]
        };
        let happened = |ground: &&Ground| self.silent(&[**ground]).of > 0;
        Ground::ALL.iter().filter(happened).map(line).collect()
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

/// The greatest rate at which so few of `runs` would still be seen in one of twenty series: Clopper and Pearson's.
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
    use crate::selftest::Seeds;

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

    fn trial(defect: &str, wrong: Option<&str>) -> Trial {
        Trial {
            defect: defect.to_owned(),
            ground: Ground::Recorded,
            place: "idle".to_owned(),
            wrong: wrong.map(str::to_owned),
        }
    }

    fn silent() -> SoundRun {
        SoundRun {
            ground: Ground::Live,
            what: "a run".to_owned(),
            alarm: None,
        }
    }

    #[test]
    fn one_miss_one_alarm_or_one_defect_that_nobody_seeded_fails() {
        let Seeds { catalogue, .. } = Seeds::load().expect("the catalogue");
        let all = || {
            let mut tally = Tally::default();
            catalogue
                .defects()
                .iter()
                .for_each(|defect| tally.trial(trial(defect.id, None)));
            tally
        };
        let mut good = all();
        assert_eq!(
            good.exit(&catalogue),
            Exit::Fail,
            "nothing without a defect was run"
        );
        good.sound(silent());
        assert_eq!(good.exit(&catalogue), Exit::Pass);
        let count = catalogue.defects().len();
        assert_eq!(
            good.sentence(&catalogue),
            format!("{count} of {count} defects caught by the right test, 0 of 1 false alarms")
        );

        let mut missed = all();
        missed.sound(silent());
        missed.trial(trial(
            catalogue.defects()[0].id,
            Some("not failed: 1.idle.platform"),
        ));
        assert_eq!(missed.exit(&catalogue), Exit::Fail);

        let mut alarmed = all();
        alarmed.sound(SoundRun {
            alarm: Some("failed besides: 3.rise".to_owned()),
            ..silent()
        });
        assert_eq!(alarmed.exit(&catalogue), Exit::Fail);
        assert!(alarmed.sentence(&catalogue).ends_with("1 of 1 false alarms"));
        assert!(alarmed.has_wrong(Ground::Live) && !alarmed.has_wrong(Ground::Model));

        let mut unseeded = all();
        unseeded.sound(silent());
        unseeded.trials.pop();
        assert_eq!(unseeded.exit(&catalogue), Exit::Fail);
    }
}
