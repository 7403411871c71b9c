//! The randomisation test within pairs, and the bounds that follow from it.
//!
//! # The algebra
//!
//! Let *d₁ … dₙ* be the differences between the treatment and the control block of each pair, and *D* the operations of a
//! treatment block. If an operation leaks *λ₀*, then *xᵢ = dᵢ − λ₀·D* is what the outside did, and the random assignment
//! alone decided its sign: each sign flip, which swaps the blocks of some pairs, was as likely as the one that happened.
//! Let *F* be the pairs that it swaps. It is at least as extreme upwards when
//!
//! > T\* ≥ T  ⟺  Σᵢ xᵢ − 2·Σ_F xᵢ ≥ Σᵢ xᵢ  ⟺  Σ_F xᵢ ≤ 0  ⟺  Σ_F dᵢ ≤ λ₀·D·|F|  ⟺  **λ_F ≤ λ₀**,
//!
//! where *λ_F = Σ_F dᵢ / (|F|·D)*, the mean of the swapped pairs alone. So every sign flip has one λ at which it crosses,
//! and these *M* numbers answer everything: p_up(λ₀) counts those at or below λ₀, p_down(λ₀) those at or above, and the
//! bounds, the λ₀ at which p passes the level, are order statistics. (That the means of random subsets divide the line
//! around the true value into equally likely parts is Hartigan's theorem of *typical values*, 1969.)
//!
//! # Ties and degenerate cases
//!
//! - A sign flip that swaps nothing leaves T as it is: it counts on both sides for every λ₀ and has no crossing. Among
//!   random ones it may occur; among all 2ⁿ it is the observed one, the `1 +` of the p-values.
//! - Equal crossings count on both sides, so ties make p larger, never smaller; the bounds are closed.
//! - All *dᵢ* equal: every crossing is d/D and both bounds are the estimate. The randomisation has nothing to say about
//!   less than a whole unit then; [`power`](super::power) does.
//! - Too few sign flips for a level: no bound, which is `None` and not infinity or 0.
//! - Readings are integers: sums are exact below 2⁵³, and division rounds correctly and monotonically, so a crossing that
//!   equals λ₀ in decimals equals it here, and no two crossings change places.

use super::seed::Seed;

/// How many random sign flips a verdict takes.
pub const SIGN_FLIPS: u32 = 99_999;

/// Up to this many pairs all sign flips are taken.
const EXHAUSTIVE_PAIRS: usize = 16;

const FORK: u64 = u64::from_be_bytes(*b"relabels");

/// Ways to swap the blocks of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignFlips {
    /// Every one but the observed: 2ⁿ − 1.
    All,
    /// So many, drawn with replacement from all 2ⁿ.
    Random {
        /// How many.
        count: u32,
        /// From which seed.
        seed: Seed,
    },
}

impl SignFlips {
    /// All where there are up to 16 pairs, else so many random ones.
    #[must_use]
    pub fn choose(pairs: usize, count: u32, seed: Seed) -> Self {
        if pairs <= EXHAUSTIVE_PAIRS {
            Self::All
        } else {
            Self::Random {
                count,
                seed: seed.fork(FORK),
            }
        }
    }

    /// How many there are for so many pairs.
    pub(super) fn count(self, pairs: usize) -> usize {
        match self {
            Self::All => (1_usize << pairs) - 1,
            Self::Random { count, .. } => count as usize,
        }
    }

    /// Hands over the swapped pairs of each, as bits of words, until `visit` has seen enough.
    pub(super) fn each(self, pairs: usize, mut visit: impl FnMut(&[u64]) -> Enough) {
        match self {
            Self::All => {
                for subset in 1..1_u64 << pairs {
                    if visit(&[subset]) == Enough::Yes {
                        return;
                    }
                }
            }
            Self::Random { count, seed } => {
                let mut random = seed.random();
                let mut subset = vec![0; pairs.div_ceil(64)];
                let surplus = subset.len() * 64 - pairs;
                for _ in 0..count {
                    subset.fill_with(|| random.word());
                    if let Some(last) = subset.last_mut() {
                        *last >>= surplus;
                    }
                    if visit(&subset) == Enough::Yes {
                        return;
                    }
                }
            }
        }
    }
}

/// Whether a visitor wants no more.
#[derive(PartialEq, Eq)]
pub(super) enum Enough {
    Yes,
    No,
}

/// Sums over subsets of pairs, eight pairs at a time: a table has the sums of all 256 subsets of its eight.
pub(super) struct SubsetSums(Vec<[f64; 256]>);

impl SubsetSums {
    pub(super) fn of(differences: &[f64]) -> Self {
        let table = |eight: &[f64]| {
            let mut sums = [0.0; 256];
            for (bit, difference) in eight.iter().enumerate() {
                for subset in 0..1 << bit {
                    sums[subset | 1 << bit] = sums[subset] + difference;
                }
            }
            sums
        };
        Self(differences.chunks(8).map(table).collect())
    }

    pub(super) fn sum(&self, subset: &[u64]) -> f64 {
        let mut sum = 0.0;
        for (word, tables) in subset.iter().zip(self.0.chunks(8)) {
            for (byte, table) in word.to_le_bytes().iter().zip(tables) {
                sum += table[usize::from(*byte)];
            }
        }
        sum
    }
}

/// The λ at which each sign flip crosses, for one resource.
#[derive(Debug, Clone)]
pub struct Crossings {
    lambdas: Vec<f64>,
    /// Random sign flips that swapped nothing.
    unchanged: usize,
    /// All sign flips, and the observed assignment.
    total: usize,
}

impl Crossings {
    /// Of the differences (treatment − control, one a pair), for so many operations a treatment block.
    ///
    /// # Panics
    ///
    /// With [`SignFlips::All`] of more pairs than memory has room for 2ⁿ numbers; [`SignFlips::choose`] sees to that.
    #[must_use]
    pub fn of(differences: &[f64], operations_per_block: u32, sign_flips: SignFlips) -> Self {
        let pairs = differences.len();
        let count = sign_flips.count(pairs);
        let sums = SubsetSums::of(differences);
        let operations = f64::from(operations_per_block);
        let mut lambdas = Vec::with_capacity(count);
        sign_flips.each(pairs, |subset| {
            let swapped: u32 = subset.iter().map(|word| word.count_ones()).sum();
            if swapped > 0 {
                lambdas.push(sums.sum(subset) / (f64::from(swapped) * operations));
            }
            Enough::No
        });
        Self {
            unchanged: count - lambdas.len(),
            lambdas,
            total: count + 1,
        }
    }

    /// The probability of a mean at least as high if operations leak `lambda`: small speaks for more than that.
    #[must_use]
    pub fn p_up(&self, lambda: f64) -> f64 {
        self.p(self
            .lambdas
            .iter()
            .filter(|&&crossing| crossing <= lambda)
            .count())
    }

    /// The probability of a mean at least as low if operations leak `lambda`: small speaks for less than that.
    #[must_use]
    pub fn p_down(&self, lambda: f64) -> f64 {
        self.p(self
            .lambdas
            .iter()
            .filter(|&&crossing| crossing >= lambda)
            .count())
    }

    /// Phipson and Smyth (2010): the observed assignment is one of those that could have been.
    fn p(&self, as_extreme: usize) -> f64 {
        (1 + self.unchanged + as_extreme) as f64 / self.total as f64
    }

    /// The least λ₀ with p_up(λ₀) > `level`: the lower bound of 1 − `level` confidence.
    #[must_use]
    pub fn lower(&self, level: f64) -> Option<f64> {
        let index = self.index(level)?;
        let mut lambdas = self.lambdas.clone();
        Some(*lambdas.select_nth_unstable_by(index, f64::total_cmp).1)
    }

    /// The greatest λ₀ with p_down(λ₀) > `level`: the upper bound of 1 − `level` confidence.
    #[must_use]
    pub fn upper(&self, level: f64) -> Option<f64> {
        let index = self.lambdas.len().checked_sub(1 + self.index(level)?)?;
        let mut lambdas = self.lambdas.clone();
        Some(*lambdas.select_nth_unstable_by(index, f64::total_cmp).1)
    }

    /// Which crossing, from its end, is the first at which p exceeds the level.
    fn index(&self, level: f64) -> Option<usize> {
        let index = most_within(level, self.total).checked_sub(1 + self.unchanged)?;
        (index < self.lambdas.len()).then_some(index)
    }
}

/// The greatest count whose share of `total` is at most `level`, by the comparison that p-values are judged with.
pub(super) fn most_within(level: f64, total: usize) -> usize {
    let share = |count: usize| count as f64 / total as f64;
    // The product is rounded, so that its whole part may be one off.
    let near = (level * total as f64) as usize;
    let mut candidates = (near.saturating_sub(1)..=near + 1).rev();
    candidates.find(|&count| share(count) <= level).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn all(differences: &[f64], operations: u32) -> Crossings {
        Crossings::of(differences, operations, SignFlips::All)
    }

    fn drawn(differences: &[f64], operations: u32, seed: u64) -> Crossings {
        let sign_flips = SignFlips::Random {
            count: SIGN_FLIPS,
            seed: Seed(seed),
        };
        Crossings::of(differences, operations, sign_flips)
    }

    /// (1 + #{T* ≥ T}) / (M + 1) as the definition has it, over all assignments.
    fn p_up_by_definition(differences: &[f64], shift: f64) -> f64 {
        let x: Vec<f64> = differences.iter().map(|d| d - shift).collect();
        let total = |labels: u32| -> f64 {
            let signed = |(pair, x): (usize, &f64)| if labels >> pair & 1 == 1 { -x } else { *x };
            x.iter().enumerate().map(signed).sum()
        };
        let assignments = 1_u32 << x.len();
        let as_high = (0..assignments).filter(|&labels| total(labels) >= total(0) - 1e-9);
        as_high.count() as f64 / f64::from(assignments)
    }

    #[test]
    fn three_pairs_by_hand() {
        // D = 2, d = 2, 4, −2. Means of {1} {2} {3} {12} {13} {23} {123}, halved:
        //                      1   2  −1   1.5   0   .5   2/3
        let crossings = all(&[2.0, 4.0, -2.0], 2);
        assert_eq!(crossings.p_up(0.0), 3.0 / 8.0, "observed, −1, 0");
        assert_eq!(
            crossings.p_down(0.0),
            7.0 / 8.0,
            "observed, and all but −1: the tie counts on both sides"
        );
        assert_eq!(crossings.p_up(2.0), 1.0);
        assert_eq!(crossings.p_down(2.0), 2.0 / 8.0);
        assert_eq!(crossings.p_down(2.1), 1.0 / 8.0, "never 0");
        assert_eq!(
            crossings.lower(1.0 / 8.0),
            Some(-1.0),
            "the smallest but none below"
        );
        assert_eq!(crossings.lower(2.0 / 8.0), Some(0.0));
        assert_eq!(crossings.lower(3.0 / 8.0), Some(0.5));
        assert_eq!(crossings.upper(2.0 / 8.0), Some(1.5));
        assert_eq!(crossings.lower(0.1), None, "eight assignments cannot be so sure");
        assert_eq!(crossings.upper(0.1), None);
    }

    #[test]
    fn degenerate_differences() {
        let equal = all(&[5.0; 14], 5);
        assert_eq!((equal.lower(0.005), equal.upper(0.005)), (Some(1.0), Some(1.0)));
        assert_eq!(equal.p_up(0.0), 1.0 / 16_384.0);
        assert_eq!((equal.p_up(1.0), equal.p_down(1.0)), (1.0, 1.0));

        let still = drawn(&[0.0; 60], 100, 1);
        assert_eq!((still.p_up(0.0), still.p_down(0.0)), (1.0, 1.0));
        assert_eq!(still.p_down(0.02), 1.0 / 100_000.0);

        let one = all(&[1.0], 1);
        assert_eq!(one.p_up(0.0), 0.5);
        assert_eq!(one.lower(0.01), None);

        let none = all(&[], 1);
        assert_eq!((none.p_up(0.0), none.p_down(0.0)), (1.0, 1.0));
        assert_eq!((none.lower(0.5), none.upper(0.5)), (None, None));
        assert_eq!(none.lower(1.0), None);
    }

    #[test]
    fn a_random_sign_flip_that_swaps_nothing_counts_on_both_sides() {
        let sign_flips = SignFlips::Random {
            count: 999,
            seed: Seed(3),
        };
        let crossings = Crossings::of(&[1.0, 1.0, 1.0], 1, sign_flips);
        assert!((60..190).contains(&crossings.unchanged), "an eighth of 999");
        let p = (1 + crossings.unchanged) as f64 / 1000.0;
        assert_eq!((crossings.p_up(0.0), crossings.p_down(2.0)), (p, p));
        assert_eq!(crossings.lower(p - 0.001), None);
        assert_eq!(crossings.lower(p), Some(1.0));
    }

    #[test]
    fn a_tie_in_decimals_is_a_tie() {
        // 2 of 100 operations is 0.02, however it comes about.
        let crossings = all(&[2.0, 2.0, 1.0, 3.0], 100);
        assert_eq!(
            crossings.p_down(0.02),
            1.0 / 16.0 + count_at_least(&crossings, 0.02)
        );
        assert!(crossings.lambdas.iter().filter(|&&l| l == 0.02).count() >= 4);
    }

    fn count_at_least(crossings: &Crossings, lambda: f64) -> f64 {
        crossings.lambdas.iter().filter(|&&l| l >= lambda).count() as f64 / 16.0
    }

    #[test]
    fn the_greatest_count_within_a_level() {
        for (level, total, expected) in [
            (0.01, 100_000, 1_000),
            (0.001 / 8.0, 100_000, 12),
            (0.001 / 10.0, 100_000, 10),
            (0.005, 1_000, 5),
            (0.001, 16_384, 16),
            (0.1, 8, 0),
            (0.29, 100, 29),
        ] {
            assert_eq!(most_within(level, total), expected, "{level} of {total}");
        }
    }

    #[test]
    fn random_sign_flips_agree_with_all_of_them() {
        let differences = [
            3.0, -1.0, 0.0, 4.0, 2.0, -2.0, 5.0, 1.0, 0.0, 3.0, -1.0, 2.0, 6.0, -3.0, 1.0, 2.0,
        ];
        let (all, drawn) = (all(&differences, 10), drawn(&differences, 10, 7));
        for lambda in [-0.1, 0.0, 0.05, 0.1375, 0.2, 0.3] {
            for (exact, estimate) in [
                (all.p_up(lambda), drawn.p_up(lambda)),
                (all.p_down(lambda), drawn.p_down(lambda)),
            ] {
                let error = 4.0 * (exact * (1.0 - exact) / 1e5).sqrt() + 1e-5;
                assert!((exact - estimate).abs() <= error, "{lambda}: {exact} {estimate}");
            }
        }
        for level in [0.005, 0.01, 0.05] {
            let near = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 0.01;
            assert!(near(all.lower(level), drawn.lower(level)));
            assert!(near(all.upper(level), drawn.upper(level)));
        }
    }

    #[test]
    fn sums_of_subsets_reach_over_words() {
        let differences: Vec<f64> = (0..130).map(f64::from).collect();
        let sums = SubsetSums::of(&differences);
        let subset = [1 << 63 | 1 << 5, 0b11, 1 << 1];
        assert_eq!(sums.sum(&subset), 63.0 + 5.0 + 64.0 + 65.0 + 129.0);
        let everything = SignFlips::Random {
            count: 1_000,
            seed: Seed(1),
        };
        let mut seen = vec![0; 3];
        everything.each(130, |subset| {
            subset
                .iter()
                .zip(&mut seen)
                .for_each(|(word, seen)| *seen |= word);
            Enough::No
        });
        assert_eq!(seen, [u64::MAX, u64::MAX, 0b11], "all 130 pairs, and no 131st");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn p_values_are_those_of_the_definition(d in vec(-6..=6_i32, 1..9), shift in -4..=4_i32) {
            let d: Vec<f64> = d.into_iter().map(f64::from).collect();
            let crossings = all(&d, 1);
            let shift = f64::from(shift) / 2.0;
            prop_assert_eq!(crossings.p_up(shift), p_up_by_definition(&d, shift));
            let mirrored: Vec<f64> = d.iter().map(|d| -d).collect();
            prop_assert_eq!(crossings.p_down(shift), p_up_by_definition(&mirrored, -shift));
        }

        #[test]
        fn the_greatest_count_is_the_last_that_compares_as_within(
            total in 1..200_000_usize,
            part in 0.0..=1.0_f64,
            nudge in prop::sample::select(vec![f64::next_down, |level| level, f64::next_up]),
        ) {
            let share = |count: usize| count as f64 / total as f64;
            let level = nudge(share(1 + (part * (total - 1) as f64) as usize));
            let count = most_within(level, total);
            prop_assert!(share(count) <= level && share(count + 1) > level, "{level} of {total}: {count}");
        }

        #[test]
        fn bounds_are_where_p_passes_the_level(d in vec(-50..=50_i32, 5..40), seed: u64, level in 0.04..0.4) {
            let d: Vec<f64> = d.into_iter().map(f64::from).collect();
            let sign_flips = SignFlips::choose(d.len(), 999, Seed(seed));
            let crossings = Crossings::of(&d, 7, sign_flips);
            let (lower, upper) = (crossings.lower(level).unwrap(), crossings.upper(level).unwrap());
            prop_assert!(crossings.p_up(lower) > level && crossings.p_up(lower.next_down()) <= level);
            prop_assert!(crossings.p_down(upper) > level && crossings.p_down(upper.next_up()) <= level);
        }

        #[test]
        fn exchanging_the_labels_mirrors_everything(d in vec(-50..=50_i32, 5..40), seed: u64) {
            let d: Vec<f64> = d.into_iter().map(f64::from).collect();
            let mirrored: Vec<f64> = d.iter().map(|d| -d).collect();
            let of = |d: &[f64]| Crossings::of(d, 7, SignFlips::choose(d.len(), 999, Seed(seed)));
            let (here, there) = (of(&d), of(&mirrored));
            for lambda in [-1.5, 0.0, 0.3] {
                prop_assert_eq!(here.p_up(lambda), there.p_down(-lambda));
            }
            prop_assert_eq!(here.lower(0.1), there.upper(0.1).map(|upper| -upper));
        }

        #[test]
        fn a_leak_shifts_everything_by_itself(d in vec(-50..=50_i32, 5..40), leak in -40..=40_i32, seed: u64) {
            let d: Vec<f64> = d.into_iter().map(f64::from).collect();
            let leaky: Vec<f64> = d.iter().map(|d| d + f64::from(leak)).collect();
            let lambda = f64::from(leak) / 8.0;
            let of = |d: &[f64]| Crossings::of(d, 8, SignFlips::choose(d.len(), 999, Seed(seed)));
            let (without, with) = (of(&d), of(&leaky));
            for (a, b) in [
                (without.lower(0.1), with.lower(0.1)),
                (without.upper(0.1), with.upper(0.1)),
            ] {
                prop_assert!((a.unwrap() + lambda - b.unwrap()).abs() < 1e-9);
            }
            // Off the crossings, where rounding decides nothing: λ_F has denominators up to 8 · 40.
            let off = 1e-6;
            prop_assert_eq!(without.p_up(off), with.p_up(lambda + off));
            prop_assert_eq!(without.p_down(off), with.p_down(lambda + off));
        }
    }
}
