//! Experiments whose truth is known, to study the verdict with: its tests and `cargo xtask soak-study` judge them.

use super::design::Design;
use super::experiment::{Block, Experiment, Reading};
use super::seed::{Random, Seed};

/// Where readings start.
const BASE: f64 = 300.0;

/// What a resource does by itself, whatever the operations do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Independent readings, σ = 2.2.
    WhiteNoise,
    /// Each reading remembers 95 % of the one before.
    Autoregressive,
    /// Each reading adds to the one before.
    RandomWalk,
    /// A pool grows five times, each time by 4 to 12.
    Steps,
    /// It fills up: fast at first, then ever slower.
    WarmUp,
    /// It grows for 11 to 25 readings, then falls back.
    Sawtooth,
    /// Nothing: an integer that stands still.
    Still,
}

impl Background {
    /// Every one that moves.
    pub const MOVING: [Self; 6] = [
        Self::WhiteNoise,
        Self::Autoregressive,
        Self::RandomWalk,
        Self::Steps,
        Self::WarmUp,
        Self::Sawtooth,
    ];

    /// So many readings of it.
    fn readings(self, count: usize, random: &mut Random) -> Vec<f64> {
        let mut level = 0.0;
        match self {
            Self::WhiteNoise => (0..count).map(|_| 2.2 * normal(random)).collect(),
            Self::Autoregressive => {
                // Starts where it would be after a long time.
                level = normal(random) / (1.0_f64 - 0.95 * 0.95).sqrt();
                let mut next = || {
                    level = 0.95 * level + normal(random);
                    level
                };
                (0..count).map(|_| next()).collect()
            }
            Self::RandomWalk => {
                let mut next = || {
                    level += normal(random);
                    level
                };
                (0..count).map(|_| next()).collect()
            }
            Self::Steps => {
                let mut steps = vec![0.0; count];
                for _ in 0..5 {
                    steps[below(random, count)] += 4.0 + 8.0 * random.uniform();
                }
                let next = |step| {
                    level += step;
                    level
                };
                steps.into_iter().map(next).collect()
            }
            Self::WarmUp => {
                let height = 20.0 + 40.0 * random.uniform();
                let pace = 0.9 + 0.08 * random.uniform();
                let mut left = height;
                let mut next = || {
                    left *= pace;
                    height - left + 0.5 * normal(random)
                };
                (0..count).map(|_| next()).collect()
            }
            Self::Sawtooth => {
                let period = 11 + below(random, 15);
                let phase = below(random, period);
                let tooth = |at: usize| ((at + phase) % period) as f64;
                (0..count).map(tooth).collect()
            }
            Self::Still => vec![0.0; count],
        }
    }
}

/// What the operations do to a resource.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Each leaks so much; whole units, as they come together.
    Leak(f64),
    /// Each leaks a unit with this probability.
    Sporadic(f64),
    /// A cache: each adds so much, and after so many operations all of it is dropped. Where it stands at first is
    /// random.
    Cache {
        /// Units per operation.
        growth: f64,
        /// Operations from one drop to the next.
        period: u64,
    },
}

/// An experiment of one resource, of which `background` and `effect` are the truth.
///
/// # Panics
///
/// When the design has not exactly one resource.
#[must_use]
pub fn experiment(
    design: Design,
    pairs: usize,
    background: Background,
    effect: Effect,
    seed: Seed,
) -> Experiment {
    let mut random = seed.random();
    let per_block = u64::from(design.operations_per_block.get());
    let backgrounds = background.readings(2 * pairs + 1, &mut random);
    let phase = match effect {
        Effect::Cache { period, .. } => random.word() % period,
        _ => 0,
    };
    let (mut operations, mut units) = (0, effect.units(phase, 0, 0.0, &mut random));
    let reading =
        |background: f64, units: f64| vec![Reading::Count((BASE + background).round() as i64 + units as i64)];
    let mut experiment =
        Experiment::new(design, reading(backgrounds[0], units)).expect("a design of a positive lambda_star");
    for background in &backgrounds[1..] {
        if experiment.next_block() == Block::Treatment {
            operations += per_block;
            units = effect.units(phase + operations, per_block, units, &mut random);
        }
        experiment.record(reading(*background, units));
    }
    experiment
}

impl Effect {
    /// Units after so many operations, of which so many are new.
    fn units(self, operations: u64, new: u64, before: f64, random: &mut Random) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Leak(per_operation) => (per_operation * operations as f64).round(),
            Self::Sporadic(probability) => {
                before + (0..new).filter(|_| random.uniform() < probability).count() as f64
            }
            Self::Cache { growth, period } => (growth * (operations % period) as f64).round(),
        }
    }
}

/// Nearly normal, by the sum of twelve uniform numbers: the same on every machine, which logarithms and sines are not.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.uniform()).sum::<f64>() - 6.0
}

/// Uniform among the integers below `bound`.
fn below(random: &mut Random, bound: usize) -> usize {
    (random.uniform() * bound as f64) as usize
}
