//! Soaks of which every reading is made up, leaking or not, under everything that moves counts by itself.

use std::num::NonZeroU32;

use leak_test::simulated::{Background, Effect, experiment};
use leak_test::{Analysis, Conclusion, Conduct, Control, Design, Resource, Seed, Verdict};
use seeded_defects::{Catalogue, Simulated};

use super::{Ground, SoundRun, Tally, Trial};

/// As many as a soak of some minutes has.
const PAIRS: usize = 40;
/// Operations in a treated block.
const OPERATIONS: u32 = 1_000;
/// λ* of every exact count.
const LAMBDA_STAR: f64 = 0.02;
/// Soaks without a leak on each background.
const SOUND_RUNS: u64 = 20;

pub(super) fn run(catalogue: &Catalogue, tally: &mut Tally) {
    for row in &catalogue.simulated {
        for background in backgrounds() {
            let found = soak(background, effect(row), 1);
            tally.trial(Trial {
                defect: row.id.clone(),
                ground: Ground::Simulated,
                place: format!("{background:?}"),
                wrong: (found.verdict.to_string() != row.verdict).then_some(found.sentence),
            });
        }
    }
    for background in backgrounds() {
        for seed in 0..SOUND_RUNS {
            let found = soak(background, Effect::None, seed);
            let alarm = matches!(found.verdict, Verdict::Leak | Verdict::OverRelease);
            tally.sound(SoundRun {
                ground: Ground::Simulated,
                what: format!("{background:?}, seed {seed}"),
                alarm: alarm.then_some(found.sentence),
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
        Analysis::of(&experiment, Conduct::default())
    };
    let first = analysis(Seed(seed));
    let second = first.needs_confirmation().then(|| analysis(Seed(seed).fork(2)));
    Conclusion::draw(first, second, Control::Found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_that_is_not_there_is_no_alarm_and_one_that_is_has_its_verdict() {
        let verdict = |effect| soak(Background::RandomWalk, effect, 1).verdict;
        assert_eq!(verdict(Effect::Leak(0.5)), Verdict::Leak);
        assert_eq!(verdict(Effect::Leak(-0.5)), Verdict::OverRelease);
        assert_eq!(verdict(Effect::None), Verdict::Clean);
    }
}
