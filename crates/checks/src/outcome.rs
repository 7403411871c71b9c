//! What rows come to together.

use std::fmt;

use crate::Row;

/// A verdict. Ordered by weight: of several, the greatest is theirs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything was judged, and passed.
    Pass,
    /// Nothing failed, but something was skipped, or nothing was judged at all.
    Inconclusive,
    /// Something failed.
    Fail,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        })
    }
}

/// How many rows came to what. Collect rows, or references to them, into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that passed.
    pub passed: usize,
    /// Rows that failed.
    pub failed: usize,
    /// Rows that could not be judged.
    pub skipped: usize,
    /// Rows that did not pass, and need not for the client that was judged.
    pub relaxed: usize,
}

impl Tally {
    /// One failed row makes a failure; short of that, one skipped row makes it inconclusive. So does no row at all: what
    /// judged nothing has not passed.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self { failed: 1.., .. } => Outcome::Fail,
            Self { skipped: 1.., .. } | Self { passed: 0, .. } => Outcome::Inconclusive,
            _ => Outcome::Pass,
        }
    }
}

/// The tests of which every row was relaxed: such a test judged nothing, and others' rows do not make up for it. A test is what
/// stands before the first dot of a check's id.
#[must_use]
pub fn unjudged_tests(rows: &[Row]) -> Vec<&str> {
    let mut tests: Vec<(&str, bool)> = Vec::new();
    for row in rows {
        let test = row.check.split('.').next().unwrap_or_default();
        match tests.iter_mut().find(|(known, _)| *known == test) {
            Some((_, judged)) => *judged |= row.relaxed.is_none(),
            None => tests.push((test, row.relaxed.is_none())),
        }
    }
    tests.retain(|(_, judged)| !judged);
    tests.into_iter().map(|(test, _)| test).collect()
}

impl<'a> FromIterator<&'a Row> for Tally {
    fn from_iter<I: IntoIterator<Item = &'a Row>>(rows: I) -> Self {
        let mut tally = Self::default();
        for row in rows {
            match row.outcome() {
                _ if row.relaxed.is_some() => tally.relaxed += 1,
                Outcome::Pass => tally.passed += 1,
                Outcome::Inconclusive => tally.skipped += 1,
                Outcome::Fail => tally.failed += 1,
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Allowed;

    #[test]
    fn fail_outweighs_inconclusive_outweighs_pass() {
        let outcome = |passed, failed, skipped| {
            Tally {
                passed,
                failed,
                skipped,
                relaxed: 1,
            }
            .outcome()
        };
        assert_eq!(outcome(3, 0, 0), Outcome::Pass);
        assert_eq!(outcome(3, 0, 1), Outcome::Inconclusive);
        assert_eq!(outcome(3, 1, 0), Outcome::Fail);
        assert_eq!(outcome(3, 1, 1), Outcome::Fail);
        assert_eq!(outcome(0, 0, 1), Outcome::Inconclusive);
        assert_eq!(
            [Outcome::Inconclusive, Outcome::Fail, Outcome::Pass].iter().max(),
            Some(&Outcome::Fail)
        );
        assert_eq!(
            [Outcome::Inconclusive, Outcome::Pass].iter().max(),
            Some(&Outcome::Inconclusive)
        );
    }

    fn row(passed: Option<bool>, relaxed: Option<&str>) -> Row {
        Row {
            check: "1.a".to_owned(),
            title: None,
            passed,
            measured: 1.into(),
            allowed: Allowed::Value(1.into()),
            unit: None,
            location: None,
            remedy: None,
            reason: None,
            relaxed: relaxed.map(str::to_owned),
        }
    }

    #[test]
    fn rows_are_counted_by_what_they_came_to() {
        let rows = [
            (4, row(Some(true), None)),
            (3, row(Some(false), None)),
            (2, row(None, None)),
        ];
        let relaxed = [Some(true), Some(false), None].map(|passed| row(passed, Some("not for this client")));
        let rows = rows
            .iter()
            .flat_map(|(times, row)| std::iter::repeat_n(row, *times));
        assert_eq!(
            rows.chain(&relaxed).collect::<Tally>(),
            Tally {
                passed: 4,
                failed: 3,
                skipped: 2,
                relaxed: 3
            }
        );
    }

    #[test]
    fn a_relaxed_row_passes_whatever_it_found() {
        let outcomes = |relaxed| [Some(true), Some(false), None].map(|passed| row(passed, relaxed).outcome());
        assert_eq!(
            outcomes(None),
            [Outcome::Pass, Outcome::Fail, Outcome::Inconclusive]
        );
        assert_eq!(outcomes(Some("not for this client")), [Outcome::Pass; 3]);
    }

    #[test]
    fn an_outcome_is_one_word_that_can_be_aligned() {
        let words = [Outcome::Pass, Outcome::Inconclusive, Outcome::Fail].map(|outcome| outcome.to_string());
        assert_eq!(words, ["pass", "inconclusive", "fail"]);
        assert_eq!(format!("{:>6}", Outcome::Pass), "  pass");
    }

    #[test]
    fn test_whose_rows_are_all_relaxed_is_unjudged() {
        let named = |check: &str, relaxed| Row {
            check: check.to_owned(),
            ..row(Some(false), relaxed)
        };
        let why = Some("not for this client");
        let rows = [
            named("3.a", why),
            named("4.a", why),
            named("3.b", None),
            named("4.b", why),
            named("soak", None),
        ];
        assert_eq!(unjudged_tests(&rows), ["4"]);
    }

    #[test]
    fn what_judged_nothing_has_not_passed() {
        assert_eq!([].iter().collect::<Tally>().outcome(), Outcome::Inconclusive);
    }
}
