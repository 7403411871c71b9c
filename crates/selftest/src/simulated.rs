//! Soaks with simulated readings, leaking or not, under every background that moves counts by itself.

use std::num::NonZeroU32;
use std::time::Duration;

use leak_test::simulated::{Background, Effect, experiment};
use leak_test::{Analysis, Conclusion, Control, Design, Resource, Seed, Verdict};
use seeded_defects::{Catalogue, Simulated};

use crate::tally::Tally;
use crate::trial::{CleanRun, Level, Trial};

/// As many as a soak of some minutes has.
const PAIRS: usize = 40;
/// Operations in a treatment block.
const OPERATIONS: u32 = 1_000;
/// The smallest leak of interest of every exact count.
const LAMBDA_STAR: f64 = 0.02;
/// Soaks without a leak on each background.
const CLEAN_RUNS: u64 = 20;

pub(crate) fn run(catalogue: &Catalogue, tally: &mut Tally) {
    for row in &catalogue.simulated {
        for background in backgrounds() {
            let found = soak(background, effect(row), 1);
            tally.add_trial(Trial {
                defect: row.id.clone(),
                level: Level::Simulated,
                place: format!("{background:?}"),
                mismatch: (found.verdict.to_string() != row.verdict).then_some(found.sentence),
            });
        }
    }
    for background in backgrounds() {
        for seed in 0..CLEAN_RUNS {
            let found = soak(background, Effect::None, seed);
            let has_finding = matches!(found.verdict, Verdict::Leak | Verdict::OverRelease);
            tally.add_clean_run(CleanRun {
                level: Level::Simulated,
                description: format!("{background:?}, seed {seed}"),
                false_positive: has_finding.then_some(found.sentence),
            });
        }
    }
}

fn backgrounds() -> impl Iterator<Item = Background> {
    Background::MOVING.into_iter().chain([Background::Still])
}

fn effect(row: &Simulated) -> Effect {
    if row.probability > 0.0 {
        Effect::Sporadic(row.probability)
    } else {
        Effect::Leak(row.per_operation)
    }
}

/// Two experiments where the first finds something, as a real soak has.
fn soak(background: Background, effect: Effect, seed: u64) -> Conclusion {
    let analysis = |seed: Seed| {
        let design = Design {
            seed,
            operation: "sample".to_owned(),
            operations_per_block: NonZeroU32::new(OPERATIONS).expect("not 0"),
            resources: vec![Resource::exact("units", "units", LAMBDA_STAR)],
        };
        let experiment = experiment(design, PAIRS, background, effect, seed.fork(1));
        Analysis::of(&experiment, Duration::ZERO)
    };
    let first = analysis(Seed(seed));
    let second = first.needs_confirmation().then(|| analysis(Seed(seed).fork(2)));
    Conclusion::from_experiments(first, second, Control::Found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_effect_has_its_verdict() {
        let verdict = |effect| soak(Background::RandomWalk, effect, 1).verdict;
        assert_eq!(verdict(Effect::Leak(0.5)), Verdict::Leak);
        assert_eq!(verdict(Effect::Leak(-0.5)), Verdict::OverRelease);
        assert_eq!(verdict(Effect::None), Verdict::Clean);
    }
}
