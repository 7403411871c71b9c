//! What one experiment says of one resource.

use serde::Serialize;

use super::design::Resource;
use super::randomisation::{Crossings, SignFlips};
use super::{BOUNDS_LEVEL, CLEAN_LEVEL};

/// An estimate of a leak, in units per operation. A bound is absent where there were too few pairs for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean difference between treatment and control blocks, by the operations of a treatment block: λ̂.
    pub per_operation: f64,
    /// The lower of two bounds that hold the true leak between them with 99 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// The upper of the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// With 99 %, the leak is at least this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// With 99 %, the leak is at most this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// p_up of what is tolerated, 0 for what is exact: small speaks for a leak.
    pub p_leak: f64,
    /// p_down of the same below 0: small speaks for a release too many.
    pub p_over_release: f64,
    /// p_down(λ*): small speaks against a leak of λ* or more.
    pub p_lambda_star: f64,
    /// The standard deviation of a pair's difference, in units; absent for a single pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// How many sign flips were compared.
    pub sign_flips: usize,
    /// Whether those were all there are.
    pub exhaustive: bool,
}

impl Estimate {
    pub(super) fn of(
        differences: &[f64],
        operations_per_block: u32,
        resource: &Resource,
        sign_flips: SignFlips,
    ) -> Option<Self> {
        let mean = mean(differences)?;
        let crossings = Crossings::of(differences, operations_per_block, sign_flips);
        Some(Self {
            per_operation: mean / f64::from(operations_per_block),
            lower: crossings.lower(BOUNDS_LEVEL / 2.0),
            upper: crossings.upper(BOUNDS_LEVEL / 2.0),
            at_least: crossings.lower(CLEAN_LEVEL),
            at_most: crossings.upper(CLEAN_LEVEL),
            p_leak: crossings.p_up(resource.tolerated),
            p_over_release: crossings.p_down(-resource.tolerated),
            p_lambda_star: crossings.p_down(resource.lambda_star),
            sigma: sigma(differences, mean),
            sign_flips: sign_flips.count(differences.len()),
            exhaustive: sign_flips == SignFlips::All,
        })
    }

    /// Whether a leak of `lambda` lies within the two bounds.
    #[must_use]
    pub fn holds(&self, lambda: f64) -> bool {
        let above = self.lower.is_some_and(|lower| lower <= lambda);
        above && self.upper.is_some_and(|upper| lambda <= upper)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation of a sample. Not the median deviation, which is 0 for integers that mostly stand still.
fn sigma(values: &[f64], mean: f64) -> Option<f64> {
    let freedom = values.len().checked_sub(1).filter(|&freedom| freedom > 0)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / freedom as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(differences: &[f64]) -> Option<Estimate> {
        Estimate::of(
            differences,
            2,
            &Resource::exact("threads", "threads", 0.5),
            SignFlips::All,
        )
    }

    #[test]
    fn known_figures() {
        let estimate = estimate(&[2.0, 4.0, -2.0, 4.0]).unwrap();
        assert_eq!(estimate.per_operation, 1.0);
        assert_eq!(estimate.sigma, Some(8.0_f64.sqrt()));
        assert_eq!((estimate.sign_flips, estimate.exhaustive), (15, true));
        assert_eq!((estimate.lower, estimate.at_most), (None, None), "four pairs");
    }

    #[test]
    fn bounds_of_eight_pairs_by_hand() {
        // Of 256 assignments one is within 0.5 % and two are within 1 %, the observed one among them: the bounds are the last
        // crossings but none and but one. These are the means, by 2 operations, of {1}, {1, 2}, … {64, 128}, {128}.
        let estimate = estimate(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]).unwrap();
        assert_eq!((estimate.lower, estimate.upper), (Some(0.5), Some(64.0)));
        assert_eq!((estimate.at_least, estimate.at_most), (Some(0.75), Some(48.0)));
    }

    #[test]
    fn what_is_tolerated_is_neither_leak_nor_over_release() {
        let of = |difference: f64| {
            let memory = Resource::noisy("rss", "KiB of resident memory", 4.0, 0.5);
            let estimate = Estimate::of(&[difference; 14], 2, &memory, SignFlips::All).unwrap();
            (estimate.p_leak, estimate.p_over_release)
        };
        const LEAST: f64 = 1.0 / 16_384.0;
        assert_eq!(of(0.0), (1.0, 1.0), "0 is between −0.5 and 0.5");
        assert_eq!(of(1.0), (1.0, 1.0), "0.5 per operation");
        assert_eq!(of(-1.0), (1.0, 1.0));
        assert_eq!(of(2.0), (LEAST, 1.0));
        assert_eq!(of(-2.0), (1.0, LEAST));
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(estimate(&[]), None);
        assert_eq!(estimate(&[3.0]).unwrap().sigma, None);
    }

    #[test]
    fn unknown_bounds_are_absent_and_hold_nothing() {
        let few = estimate(&[2.0, 2.0]).unwrap();
        assert!(!few.holds(1.0));
        let json = serde_json::to_value(&few).unwrap();
        for absent in ["lower", "upper", "at_least", "at_most"] {
            assert!(json.get(absent).is_none(), "{absent}: {json}");
        }
        let many = estimate(&[2.0; 14]).unwrap();
        assert!(many.holds(1.0) && !many.holds(0.99) && !many.holds(1.01));
    }
}
