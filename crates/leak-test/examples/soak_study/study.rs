//! The study: experiments whose truth is known, judged by the verdict's test and by the common ones.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use leak_test::power::smallest_detectable;
use leak_test::simulated::{Background, Effect, experiment};
use leak_test::{CLEAN_LEVEL, CountRule, Design, Estimate, Experiment, LEAK_LEVEL, Reading, Resource, Seed};

use super::trend;

/// Half as many as readings.
const PAIRS: usize = trend::READINGS / 2;
const OPERATIONS_PER_BLOCK: u32 = 100;
/// A run judges up to eight resources, and each has its share of the level.
const LEVEL: f64 = LEAK_LEVEL / 8.0;
const LAMBDA_STAR: f64 = 0.02;
/// Leaks per operation, of which the smallest stays within the two-count rule.
const LEAKS: [f64; 3] = [0.015, 0.05, 0.1];
/// Operations from one drop of a cache to the next; the run has 3,000.
const PERIODS: [u64; 9] = [250, 500, 1_000, 1_500, 2_500, 3_000, 5_000, 10_000, 30_000];

const BACKGROUNDS: [(Background, &str); 7] = [
    (Background::WhiteNoise, "white noise, σ = 2.2"),
    (Background::Autoregressive, "AR(0.95)"),
    (Background::RandomWalk, "random walk"),
    (Background::Steps, "steps (a pool grows)"),
    (Background::WarmUp, "warm-up curve"),
    (Background::Sawtooth, "sawtooth in time"),
    (Background::Still, "still"),
];

const FALSE_ALARMS: &[&str] = &[
    "Mann–Kendall, 1 %",
    "least squares, 1 %",
    "two counts",
    "pairs, 1 %",
    "pairs, 0.1 %",
];
/// Two for each of [`LEAKS`], and one.
const FOUND: &[&str] = &[
    "pairs, 0.015",
    "two counts, 0.015",
    "pairs, 0.05",
    "two counts, 0.05",
    "pairs, 0.1",
    "two counts, 0.1",
    "pairs, smallest",
];
const CLEAN: &[&str] = &["no leak", "λ*", "λ*, at random"];

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Study {
    /// Experiments of each kind.
    pub(super) series: u64,
    pub(super) sign_flips: u32,
    pub(super) threads: usize,
    pub(super) seed: Seed,
}

impl Study {
    /// Its tables, in Markdown. Tells what it has done as it goes.
    pub(super) fn run(self, mut progress: impl FnMut(&str)) -> String {
        let mut false_alarms = Table::new("series", FALSE_ALARMS);
        let mut found = Table::new("series", FOUND);
        let mut clean = Table::new("series", CLEAN);
        for (kind, (background, name)) in BACKGROUNDS.into_iter().enumerate() {
            progress(name);
            let kind = self.seed.fork(kind as u64);
            let with = |effect, seed| Judged::of(&self, background, effect, seed);

            let nothing = |seed| with(Effect::None, seed).false_alarms();
            false_alarms.row(name, &self.shares(kind, nothing));

            let leaks = LEAKS.map(|leak| self.shares(kind, |seed| with(Effect::Leak(leak), seed).found()));
            let by_formula = self.shares(kind, |seed| {
                let leak = with(Effect::None, seed).smallest_detectable();
                vec![with(Effect::Leak(leak), seed).is_leak()]
            });
            found.row(name, &[leaks.concat(), by_formula].concat());

            let effects = [
                Effect::None,
                Effect::Leak(LAMBDA_STAR),
                Effect::Sporadic(LAMBDA_STAR),
            ];
            let called = |effect| self.shares(kind, |seed| vec![with(effect, seed).is_clean()]);
            clean.row(name, &effects.map(called).concat());
        }
        let mut caches = Table::new("operations from drop to drop", &["LEAK"]);
        for period in PERIODS {
            progress(&format!("cache dropped every {period} operations"));
            let cache = Effect::Cache { growth: 0.1, period };
            let with = |seed| Judged::of(&self, Background::Still, cache, seed);
            let kind = self.seed.fork(u64::from_be_bytes(*b"cache   ")).fork(period);
            let found = self.shares(kind, |seed| vec![with(seed).is_leak()]);
            caches.row(&period.to_string(), &found);
        }
        format!(
            "{series} experiments of each kind with {PAIRS} pairs, {OPERATIONS_PER_BLOCK} operations a treatment block,\n\
             {sign_flips} sign flips, seed {seed}. Counts start at 300.\n\n\
             **Called a leak where nothing leaks.** Nominal levels are in the heads; *two counts* is the two-count rule: grown by\n\
             more than 20 %, or by 1 or more per operation.\n\n{false_alarms}\n\
             **Leaks found**, of so much per operation: by pairs in one experiment (p ≤ 0.001/8), and by two counts. In the last\n\
             column each series leaks what the formula calls its smallest detectable leak. 90 % is promised; whole units cost some\n\
             of it where a block leaks one or two, and most where nothing else moves and the formula gives its floor.\n\n{found}\n\
             **Called clean** (p ≤ 0.01 for λ* = 0.02) where nothing leaks, and where operations leak λ*: as whole units in a\n\
             steady rhythm, and one at a time at random.\n\n{clean}\n\
             **Caches that operations fill**, by 0.1 per operation, and that are dropped now and then; 3,000 operations. Called\n\
             a leak by one experiment:\n\n{caches}",
            series = self.series,
            sign_flips = self.sign_flips,
            seed = self.seed,
        )
    }

    /// The share of the experiments of one kind that get each verdict.
    fn shares(self, kind: Seed, judge: impl Fn(Seed) -> Verdicts + Sync) -> Vec<f64> {
        let judged_by = |thread: u64| {
            let series = (thread..self.series).step_by(self.threads);
            let mut tally = Tally::default();
            series.for_each(|series| tally.add(judge(kind.fork(series)).into_iter().map(u64::from)));
            tally
        };
        let tally = std::thread::scope(|scope| {
            let judged_by = &judged_by;
            let threads: Vec<_> = (0..self.threads as u64)
                .map(|thread| scope.spawn(move || judged_by(thread)))
                .collect();
            let mut all = Tally::default();
            for thread in threads {
                all.add(thread.join().expect("a judging thread does not panic").0);
            }
            all
        });
        let share = |count: &u64| *count as f64 / self.series as f64;
        tally.0.iter().map(share).collect()
    }
}

type Verdicts = Vec<bool>;

/// How often each verdict was given.
#[derive(Default)]
struct Tally(Vec<u64>);

impl Tally {
    fn add(&mut self, counts: impl IntoIterator<Item = u64>) {
        for (index, count) in counts.into_iter().enumerate() {
            if index == self.0.len() {
                self.0.push(0);
            }
            self.0[index] += count;
        }
    }
}

/// One experiment, as each test sees it.
struct Judged {
    readings: [f64; trend::READINGS],
    two_counts: CountRule,
    pairs: Estimate,
}

impl Judged {
    fn of(study: &Study, background: Background, effect: Effect, seed: Seed) -> Self {
        let design = Design {
            seed: seed.fork(1),
            operation: "operation".to_owned(),
            operations_per_block: NonZeroU32::new(OPERATIONS_PER_BLOCK).expect("not 0"),
            resources: vec![Resource::exact("units", "units", LAMBDA_STAR)],
        };
        let experiment = experiment(design, PAIRS, background, effect, seed.fork(2));
        let pairs = experiment.estimates(study.sign_flips).remove(0);
        let (readings, two_counts) = counts(&experiment);
        Self {
            readings,
            two_counts,
            pairs: pairs.expect("a simulated reading is never missing"),
        }
    }

    /// In the order of [`FALSE_ALARMS`].
    fn false_alarms(&self) -> Verdicts {
        vec![
            trend::mann_kendall_rises(&self.readings),
            trend::least_squares_rises(&self.readings),
            !self.two_counts.passes(),
            self.pairs.p_leak <= 0.01,
            self.pairs.p_leak <= 0.001,
        ]
    }

    /// In the order of [`FOUND`], for one leak.
    fn found(&self) -> Verdicts {
        vec![self.is_leak(), !self.two_counts.passes()]
    }

    fn is_leak(&self) -> bool {
        self.pairs.p_leak <= LEVEL
    }

    fn is_clean(&self) -> bool {
        self.pairs.p_lambda_star <= CLEAN_LEVEL
    }

    fn smallest_detectable(&self) -> f64 {
        let sigma = self.pairs.sigma.expect("there are many pairs");
        smallest_detectable(sigma, OPERATIONS_PER_BLOCK, PAIRS, LEVEL)
    }
}

/// The readings after each block, and the two-count rule over them and the first.
fn counts(experiment: &Experiment) -> ([f64; trend::READINGS], CountRule) {
    let looks: Vec<&Reading> = experiment.readings(0).collect();
    let count = |look: &Reading| match look {
        Reading::Count(count) => *count as f64,
        Reading::Saturated | Reading::Missing(_) => unreachable!("a simulated reading is a count"),
    };
    let readings = std::array::from_fn(|at| count(looks[at + 1]));
    let rule = CountRule::of(looks[0], looks[trend::READINGS], experiment.operations());
    (readings, rule.expect("two counts, and operations between them"))
}

/// Shares, in Markdown.
struct Table(String);

impl Table {
    fn new(first: &str, heads: &[&str]) -> Self {
        let rule = "---:|".repeat(heads.len());
        Self(format!("| {first} | {} |\n|---|{rule}\n", heads.join(" | ")))
    }

    fn row(&mut self, name: &str, shares: &[f64]) {
        let cells: String = shares
            .iter()
            .map(|share| format!(" {:.1} % |", 100.0 * share))
            .collect();
        let _ = writeln!(self.0, "| {name} |{cells}");
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(threads: usize) -> Study {
        Study {
            series: 6,
            sign_flips: 199,
            threads,
            seed: Seed(1),
        }
    }

    #[test]
    fn a_seed_gives_one_study_whatever_the_number_of_threads() {
        let mut steps = 0;
        let report = study(1).run(|_| steps += 1);
        assert_eq!(report, study(3).run(|_| {}));
        assert_eq!(steps, BACKGROUNDS.len() + PERIODS.len());
        for (_, name) in BACKGROUNDS {
            assert_eq!(report.matches(&format!("| {name} |")).count(), 3, "{name}");
        }
    }

    #[test]
    fn leaks_and_only_leaks_are_found() {
        let pairs_at_1_percent = |effect| {
            let study = study(2);
            let judge = |seed| Judged::of(&study, Background::Still, effect, seed).false_alarms();
            study.shares(Seed(7), judge)[3]
        };
        assert_eq!(pairs_at_1_percent(Effect::None), 0.0);
        assert_eq!(pairs_at_1_percent(Effect::Leak(0.05)), 1.0);
    }
}
