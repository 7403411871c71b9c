//! The two-count rule, next to the verdict for information: two counts, within 20 % of each other and under 1 per operation.
//!
//! It is blind: with 300 names at the start, 50 operations may leak 0.9 names each and pass.

use serde::Serialize;

use super::experiment::Reading;

const MOST_GROWTH_PERCENT: f64 = 20.0;
const MOST_PER_OPERATION: f64 = 1.0;

/// What the rule sees of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CountRule {
    /// The count after the warm-up.
    pub start: i64,
    /// The count at the end.
    pub end: i64,
    /// From the one to the other, in percent of the start; absent where there was nothing at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth_percent: Option<f64>,
    /// From the one to the other, by all operations.
    pub growth_per_operation: f64,
    /// Under 20 %.
    pub within_20_percent: bool,
    /// Under 1 per operation.
    pub under_1_per_operation: bool,
}

impl CountRule {
    /// `None` where either count is unknown, or nothing was done between them.
    #[must_use]
    pub fn of(start: &Reading, end: &Reading, operations: u64) -> Option<Self> {
        let (&Reading::Count(start), &Reading::Count(end)) = (start, end) else {
            return None;
        };
        if operations == 0 {
            return None;
        }
        let growth = (i128::from(end) - i128::from(start)) as f64;
        let growth_percent = (start > 0).then(|| growth / start as f64 * 100.0);
        let growth_per_operation = growth / operations as f64;
        Some(Self {
            start,
            end,
            growth_percent,
            growth_per_operation,
            within_20_percent: growth_percent.map_or(growth <= 0.0, |percent| percent <= MOST_GROWTH_PERCENT),
            under_1_per_operation: growth_per_operation < MOST_PER_OPERATION,
        })
    }

    /// Whether the two-count rule passes it.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.within_20_percent && self.under_1_per_operation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(start: i64, end: i64, operations: u64) -> CountRule {
        CountRule::of(&Reading::Count(start), &Reading::Count(end), operations).unwrap()
    }

    #[test]
    fn it_passes_a_leak_of_nine_tenths_of_a_name() {
        let blind = rule(300, 345, 50);
        assert_eq!(
            (blind.growth_percent, blind.growth_per_operation),
            (Some(15.0), 0.9)
        );
        assert!(blind.passes());
    }

    #[test]
    fn each_limit_can_fail() {
        let growth = rule(100, 121, 1_000);
        assert!(!growth.within_20_percent && growth.under_1_per_operation && !growth.passes());
        let rate = rule(1_000, 1_050, 50);
        assert!(rate.within_20_percent && !rate.under_1_per_operation && !rate.passes());
    }

    #[test]
    fn nothing_at_the_start_has_no_percentage() {
        let from_nothing = rule(0, 3, 1_000);
        assert_eq!(from_nothing.growth_percent, None);
        assert!(!from_nothing.passes());
        assert!(rule(0, 0, 1_000).passes());
        let json = serde_json::to_value(from_nothing).unwrap();
        assert!(json.get("growth_percent").is_none());
    }

    #[test]
    fn unknown_counts_make_no_rule() {
        let (one, missing) = (Reading::Count(1), Reading::Missing("why".to_owned()));
        assert_eq!(CountRule::of(&one, &missing, 5), None);
        assert_eq!(CountRule::of(&Reading::Saturated, &one, 5), None);
        assert_eq!(CountRule::of(&one, &one, 0), None);
    }
}
