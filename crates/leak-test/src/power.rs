//! How small a leak an experiment would have found.

use serde::Serialize;

use super::randomisation::{Enough, SignFlips, SubsetSums, most_within};
use super::seed::Seed;

/// The share of experiments that must find a leak for it to count as one that would have been found: 90 %.
const POWER: f64 = 0.9;
/// The standard normal distribution's quantile at [`POWER`].
const Z_POWER: f64 = 1.281_551_565_5;
/// Experiments of which that share is taken; it is then known to ± 3 %, and the leak to about the same.
const REPLICATES: u64 = 100;
/// How near the search comes to the leak that it looks for.
const PRECISION: f64 = 1.1;

const FORK: u64 = u64::from_be_bytes(*b"power of");

/// The smallest leak, in units per operation, that one experiment finds nine times of ten.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Power {
    /// By [`smallest_detectable`].
    pub by_formula: f64,
    /// By planting leaks in the readings of this run; absent where none was large enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_injection: Option<f64>,
}

impl Power {
    /// The better founded of the two.
    #[must_use]
    pub fn smallest(&self) -> f64 {
        self.by_injection.unwrap_or(self.by_formula)
    }

    /// Where a leak counts only by what exceeds the tolerated.
    pub(super) fn above(self, tolerated: f64) -> Self {
        Self {
            by_formula: self.by_formula + tolerated,
            by_injection: self.by_injection.map(|smallest| smallest + tolerated),
        }
    }

    pub(super) fn of(
        differences: &[f64],
        sigma: f64,
        operations_per_block: u32,
        level: f64,
        seed: Seed,
    ) -> Self {
        let by_formula = smallest_detectable(sigma, operations_per_block, differences.len(), level);
        Self {
            by_formula,
            by_injection: smallest_found(differences, operations_per_block, level, seed, by_formula),
        }
    }
}

/// The smallest leak per operation that `pairs` pairs of standard deviation `sigma` find nine times of ten, when a leak is
/// what p ≤ `level` says:
///
/// > (t + z₀.₉·√(1 + t²/2ν)) · σ / (D·√pairs),  t = Student's quantile at 1 − level with ν = pairs − 1,
///
/// which is the power of Student's test, and from 20 pairs on that of the randomisation test but for a trifle (86 to 89 %
/// of simulated white noise; 76 % with 14 pairs, the least). The normal quantile instead of Student's would promise too
/// much: 71 % at 30 pairs, 34 % at 14.
///
/// Units leak whole: before p ≤ level, at least log₂(1/level) pairs have to show one, so it is never less than that
/// number / (D·pairs).
#[must_use]
pub fn smallest_detectable(sigma: f64, operations_per_block: u32, pairs: usize, level: f64) -> f64 {
    let pairs = pairs as f64;
    let operations = f64::from(operations_per_block);
    let freedom = (pairs - 1.0).max(1.0);
    let t = student_quantile(upper_normal_quantile(level), freedom);
    let distance = t + Z_POWER * (1.0 + t * t / (2.0 * freedom)).sqrt();
    let units = (1.0 / level).log2().ceil();
    (distance * sigma / (operations * pairs.sqrt())).max(units / (operations * pairs))
}

/// z with P(Z > z) = p, for p up to ½, within 0.0005 (Abramowitz and Stegun 26.2.23).
fn upper_normal_quantile(p: f64) -> f64 {
    let t = (-2.0 * p.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

/// Student's quantile from the normal one (Abramowitz and Stegun 26.7.5): within 1 % from 13 degrees of freedom on.
fn student_quantile(z: f64, freedom: f64) -> f64 {
    let z2 = z * z;
    let first = z * (z2 + 1.0) / 4.0;
    let second = z * ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0;
    let third = z * (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0;
    z + (first + (second + third / freedom) / freedom) / freedom
}

/// The smallest leak that is found in [`POWER`] of the experiments that this one could have been, to [`PRECISION`].
fn smallest_found(
    differences: &[f64],
    operations_per_block: u32,
    level: f64,
    seed: Seed,
    guess: f64,
) -> Option<f64> {
    let operations = f64::from(operations_per_block);
    let found = |lambda: f64| is_found(differences, lambda * operations, level, seed.fork(FORK));
    // One unit in all is in one pair, which half of the sign flips leave alone.
    let one_unit = 1.0 / (operations * differences.len() as f64);
    const DOUBLINGS: usize = 10;
    let doubled = |&(_, enough): &(f64, f64)| Some((enough, 2.0 * enough));
    let mut guesses = std::iter::successors(Some((one_unit, guess)), doubled).take(1 + DOUBLINGS);
    let (mut too_small, mut enough) = guesses.find(|&(_, enough)| found(enough))?;
    while enough > PRECISION * too_small {
        let between = (enough * too_small).sqrt();
        if found(between) {
            enough = between;
        } else {
            too_small = between;
        }
    }
    Some(enough)
}

/// Plants a leak of so many units a block in experiments without one, and counts those that find it.
///
/// An experiment without a leak is this one with its assignment drawn again: each difference with a random sign. The leak comes
/// in whole units, by rounding up or down at random. The same random numbers serve every leak, so that a larger one is
/// found where a smaller one is.
fn is_found(differences: &[f64], per_block: f64, level: f64, seed: Seed) -> bool {
    let is_missed = |replicate: &u64| {
        let seed = seed.fork(*replicate);
        let mut random = seed.random();
        let leaky = differences.iter().map(|difference| {
            let sign = if random.coin() { -1.0 } else { 1.0 };
            sign * difference + (per_block + random.uniform()).floor()
        });
        !is_leak(&leaky.collect::<Vec<f64>>(), level, seed)
    };
    let misses_allowed = ((1.0 - POWER) * REPLICATES as f64).round() as usize;
    let one_too_many = (0..REPLICATES).filter(is_missed).nth(misses_allowed);
    one_too_many.is_none()
}

/// The fewest sign flips that can tell a leak: two assignments are within the level, the observed one and another.
fn fewest_sign_flips(level: f64) -> u32 {
    (2.0 / level).ceil() as u32 - 1
}

/// Whether p_up(0) ≤ level, by the fewest sign flips that can tell.
fn is_leak(differences: &[f64], level: f64, seed: Seed) -> bool {
    let pairs = differences.len();
    let sign_flips = SignFlips::choose(pairs, fewest_sign_flips(level), seed);
    let most = most_within(level, sign_flips.count(pairs) + 1);
    let sums = SubsetSums::of(differences);
    let mut as_high = 1;
    sign_flips.each(pairs, |swapped| {
        // T* ≥ T: see `randomisation`.
        as_high += usize::from(sums.sum(swapped) <= 0.0);
        if as_high > most { Enough::Yes } else { Enough::No }
    });
    as_high <= most
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::randomisation::Crossings;
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, z) in [
            (0.5, 0.0),
            (0.1, 1.281_55),
            (0.01, 2.326_35),
            (0.001, 3.090_23),
            (0.000_125, 3.662_3),
        ] {
            assert!((upper_normal_quantile(p) - z).abs() < 6e-4, "{p}");
        }
        // Student's at 0.1 % one-sided.
        for (freedom, t) in [(13.0, 3.852), (29.0, 3.396), (59.0, 3.234)] {
            let quantile = student_quantile(3.090_23, freedom);
            assert!((quantile / t - 1.0).abs() < 0.01, "{freedom}: {quantile}");
        }
    }

    #[test]
    fn students_quantile_has_all_terms_but_the_fourth() {
        // Quantiles at 0.1 % and 10 % one-sided, from the incomplete beta function to 40 digits. With so many degrees of freedom
        // the expansion's third term is 4e-8, and the first that is left out 5e-11.
        for (z, t) in [
            (3.090_232_306_167_813_5, 3.098_402_163_912_923),
            (1.281_551_565_544_600_5, 1.282_398_721_460_924_4),
        ] {
            let quantile = student_quantile(z, 1_000.0);
            assert!((quantile - t).abs() < 1e-10, "{t}: {quantile}");
        }
    }

    #[test]
    fn the_formula_promises_no_more_than_students_test_and_hardly_less() {
        // Means, in standard errors, that Student's test finds nine times of ten: by the noncentral t distribution, integrated.
        for (pairs, level, exact) in [
            (5, 0.1, 2.892_43),
            (6, 0.05, 3.431_74),
            (14, 0.01, 4.043_54),
            (30, 0.001, 4.770_34),
            (60, 0.001 / 8.0, 5.243_85),
        ] {
            let smallest = smallest_detectable(20.0, 100, pairs, level);
            let errors = smallest * 100.0 * (pairs as f64).sqrt() / 20.0;
            let above = errors / exact - 1.0;
            assert!(
                (0.0..0.25 / pairs as f64).contains(&above),
                "{pairs} pairs: {above}"
            );
        }
    }

    #[test]
    fn what_is_tolerated_comes_on_top() {
        let power = Power {
            by_formula: 0.25,
            by_injection: Some(0.5),
        };
        let above = power.above(0.125);
        assert_eq!((above.by_formula, above.by_injection), (0.375, Some(0.625)));
        assert_eq!(above.smallest(), 0.625);
        let formula_alone = Power {
            by_injection: None,
            ..power
        };
        assert_eq!(formula_alone.above(0.125).smallest(), 0.375);
    }

    #[test]
    fn the_formula_shrinks_with_pairs_and_operations_down_to_whole_units() {
        let noisy = smallest_detectable(5.4, 100, 30, 0.001 / 8.0);
        assert!((0.05..0.06).contains(&noisy), "{noisy}");
        assert!(smallest_detectable(5.4, 100, 120, 0.001 / 8.0) < noisy / 2.0);
        let tenfold = smallest_detectable(5.4, 1_000, 30, 0.001 / 8.0);
        assert!((tenfold * 10.0 - noisy).abs() < 1e-12);
        assert_eq!(smallest_detectable(0.0, 100, 60, 0.001 / 8.0), 13.0 / 6_000.0);
        assert_eq!(smallest_detectable(0.0, 100, 60, 0.001), 10.0 / 6_000.0);
    }

    #[test]
    fn where_nothing_moves_a_leak_is_found_once_enough_pairs_show_a_unit() {
        // 13 or 14 of 60 pairs, nine times of ten: a binomial mean of 17 or 18; and the search's precision.
        let found = smallest_found(&[0.0; 60], 100, 0.001 / 8.0, Seed(1), 13.0 / 6_000.0).unwrap();
        let units = found * 6_000.0;
        assert!((16.0..21.0).contains(&units), "{units}");
    }

    #[test]
    fn the_guess_that_a_search_begins_with_changes_nothing() {
        let found =
            |differences: &[f64], guess| smallest_found(differences, 100, 0.001 / 8.0, Seed(1), guess);
        let still = [0.0; 60];
        let smallest = found(&still, 13.0 / 6_000.0).unwrap();
        for guess in [0.000_5, 0.002, 0.02, 1.0] {
            let ratio = found(&still, guess).unwrap() / smallest;
            assert!((1.0 / PRECISION..PRECISION).contains(&ratio), "{guess}: {ratio}");
        }

        // One that is nearly too small a thousandfold, and one that is.
        let mut random = Seed(9).random();
        let noise: Vec<f64> = (0..30)
            .map(|_| (60_000.0 * (random.uniform() - 0.5)).round())
            .collect();
        let smallest = found(&noise, 100.0).unwrap();
        let ratio = found(&noise, smallest / 1_000.0).unwrap() / smallest;
        assert!((1.0 / PRECISION..PRECISION).contains(&ratio), "{ratio}");
        assert_eq!(found(&noise, smallest / PRECISION / 1_024.0), None);
    }

    #[test]
    fn a_leak_that_the_experiment_has_is_not_taken_for_the_planted_one() {
        let leaking = [50.0; 20];
        assert!(!is_found(&leaking, 0.0, 0.001, Seed(1)));
        assert!(!is_found(&leaking, 10.0, 0.001, Seed(1)), "it counts as noise");
        assert!(is_found(&leaking, 60.0, 0.001, Seed(1)), "more than any of it");
    }

    #[test]
    fn the_fewest_sign_flips_are_those_of_which_one_may_be_as_extreme() {
        for level in [0.3, 0.1, 0.01, 0.001, 0.001 / 3.0, 0.001 / 8.0] {
            let assignments = fewest_sign_flips(level) as usize + 1;
            assert_eq!(most_within(level, assignments), 2, "{level}");
            assert_eq!(most_within(level, assignments - 1), 1, "{level}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_leak_is_what_the_verdict_calls_one(d in vec(-4..=20_i32, 4..=10), level in 0.02..0.4) {
            let d: Vec<f64> = d.into_iter().map(f64::from).collect();
            let p = Crossings::of(&d, 1, SignFlips::All).p_up(0.0);
            prop_assert_eq!(is_leak(&d, level, Seed(1)), p <= level);
        }
    }

    #[test]
    fn planted_leaks_and_the_formula_agree_on_noise() {
        let mut random = Seed(9).random();
        let mut noise = || (0..12).map(|_| random.uniform()).sum::<f64>() - 6.0;
        let differences: Vec<f64> = (0..60).map(|_| (20.0 * noise()).round()).collect();
        let power = Power::of(&differences, 20.0, 100, 0.001 / 8.0, Seed(2));
        let ratio = power.by_injection.unwrap() / power.by_formula;
        assert!((0.75..1.3).contains(&ratio), "{power:?}");
    }

    #[test]
    fn the_fewest_pairs_that_are_judged_can_find_a_leak() {
        for pairs in [14, 16, 17] {
            let found = smallest_found(&vec![0.0; pairs], 100, 0.001 / 8.0, Seed(1), 0.01);
            assert!(found.is_some_and(|leak| leak < 0.012), "{pairs}: {found:?}");
        }
    }

    #[test]
    fn too_few_pairs_find_nothing() {
        assert_eq!(
            smallest_found(&[1.0; 10], 100, 0.001 / 8.0, Seed(1), 0.01),
            None,
            "2⁻¹⁰ is above the level"
        );
    }
}
