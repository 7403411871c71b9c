//! The time box, and what fits into it. Pure arithmetic: moments are durations since the box began.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use leak_test::MIN_PAIRS;

use crate::duration;

/// So many pairs are aimed at in a short run, where blocks grow with the run.
const FEW_PAIRS: u32 = 60;

/// A long run has no more than so many, or else its verdict, which tries every pair again and again, would take minutes.
const MANY_PAIRS: u32 = 400;

/// A block has to hold the settling and some work.
const SHORTEST_BLOCK: Duration = Duration::from_millis(250);

/// Between the two, pairs grow in number, and blocks are of this length.
const USUAL_BLOCK: Duration = Duration::from_secs(5);

/// The longest pause before a reading.
const LONGEST_SETTLE: Duration = Duration::from_secs(1);

/// Operations of a treated block. More find nothing that these do not, and use up descriptors when one leaks.
const MOST_OPERATIONS: u32 = 500;

/// The share of a block beside its settling that operations may take: the rest is for a machine that is slow at times.
const WORK: f64 = 0.6;

/// A box that the whole run has to fit into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeBox {
    begun: Instant,
    total: Duration,
}

impl TimeBox {
    pub(crate) fn begin(total: Duration) -> Self {
        Self {
            begun: Instant::now(),
            total,
        }
    }

    pub(crate) fn total(&self) -> Duration {
        self.total
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// When everything but the verdict must be over.
    pub(crate) fn work_ends(&self) -> Instant {
        self.begun + self.total.saturating_sub(reserve(self.total))
    }

    /// What is left until then.
    pub(crate) fn left(&self) -> Duration {
        self.work_ends().saturating_duration_since(Instant::now())
    }
}

/// For ending every child, the verdict and the files.
fn reserve(total: Duration) -> Duration {
    (total / 25).clamp(Duration::from_secs(3), Duration::from_secs(60))
}

/// How long blocks are. All are equally long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// From one reading to the next.
    pub(crate) block: Duration,
    /// At the least from the end of the work to the reading.
    pub(crate) settle: Duration,
    /// What a treated block performs: *D*.
    pub(crate) operations: NonZeroU32,
    /// How long one takes, about.
    pub(crate) operation: Duration,
}

impl Pace {
    /// For a session of such a length, and operations that take so long each.
    pub(crate) fn of(session: Duration, operation: Duration) -> Self {
        let settle_of = |block: Duration| (block * 2 / 5).min(LONGEST_SETTLE);
        let wanted = (session / (2 * FEW_PAIRS))
            .clamp(SHORTEST_BLOCK, USUAL_BLOCK)
            .max(session / (2 * MANY_PAIRS));
        // However slow it is, one operation has to fit.
        let smallest = operation.div_f64(WORK);
        let block = if wanted - settle_of(wanted) >= smallest {
            wanted
        } else {
            smallest + settle_of(wanted)
        };
        let settle = settle_of(block).min(settle_of(wanted));
        let fit = (block - settle).as_secs_f64() * WORK / operation.as_secs_f64().max(1e-9);
        let operations = (fit.round() as u32).clamp(1, MOST_OPERATIONS);
        Self {
            block,
            settle,
            operations: NonZeroU32::new(operations).expect("at least 1"),
            operation,
        }
    }

    fn pair(&self) -> Duration {
        self.block * 2
    }

    /// Whether a block that took so long was later than blocks vary by.
    pub(crate) fn is_late(&self, took: Duration) -> bool {
        took > self.block + self.block / 10
    }

    /// With blocks that what took so long would have fit into, where it did not.
    pub(crate) fn stretched(self, took: Duration) -> Self {
        let block = if self.is_late(took) {
            took + took / 4
        } else {
            self.block
        };
        Self { block, ..self }
    }

    /// Whether a whole block fits into what is left, late as its end may be.
    pub(crate) fn fits(&self, left: Duration) -> bool {
        left >= self.block + self.block / 10
    }

    /// How many pairs a second experiment makes that is to confirm what the first found after so many: half as many again,
    /// or what fits behind a start that takes so long. `None` where too few fit.
    pub(crate) fn confirming_pairs(&self, first: usize, start: Duration, left: Duration) -> Option<usize> {
        let time = left.checked_sub(start)?.as_secs_f64();
        let fit = (time / (self.pair().as_secs_f64() * 1.1)) as usize;
        (fit >= MIN_PAIRS).then(|| fit.min(MIN_PAIRS.max(first + first / 2)))
    }
}

/// Shorter runs could not complete the pairs that a verdict needs.
const MIN_TIME_LIMIT: Duration = Duration::from_secs(15);
const MAX_TIME_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A soak's time limit in hours.
pub(crate) fn hours(text: &str) -> Result<Duration, String> {
    let hours: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let duration = Duration::try_from_secs_f64(hours * 3600.0).map_err(|error| error.to_string())?;
    within_reason(duration)
}

/// A soak's time limit.
pub(crate) fn time_limit(text: &str) -> Result<Duration, String> {
    within_reason(duration::parse(text)?)
}

fn within_reason(duration: Duration) -> Result<Duration, String> {
    if (MIN_TIME_LIMIT..=MAX_TIME_LIMIT).contains(&duration) {
        Ok(duration)
    } else {
        Err("must lie between 15 seconds and a week".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn what_is_kept_for_the_verdict() {
        for (total, kept) in [(25, 3), (90, 4), (3600, 60), (8 * 3600, 60)] {
            let reserved = reserve(secs(total)).as_secs_f64();
            assert_eq!(reserved.round() as u64, kept, "of {total} s");
        }
    }

    #[test]
    fn the_box_counts_from_its_beginning() {
        let long_ago = TimeBox {
            begun: Instant::now() - secs(100),
            total: secs(90),
        };
        assert_eq!(long_ago.left(), Duration::ZERO);
        let fresh = TimeBox::begin(secs(90));
        assert!(fresh.left() <= secs(90) - reserve(secs(90)) && fresh.left() > secs(80));
        assert!(TimeBox::begin(secs(1)).work_ends() <= Instant::now());
    }

    #[test]
    fn blocks_hold_work_and_settling() {
        // session, one operation → block, settle, operations
        for (session, operation, block, settle, operations) in [
            (secs(15), ms(1), ms(250), ms(100), 90),
            (secs(80), ms(1), ms(666), ms(266), 240),
            (secs(80), Duration::from_micros(100), ms(666), ms(266), 500),
            (secs(3600), ms(1), secs(5), secs(1), 500),
            (secs(8 * 3600), ms(1), secs(36), secs(1), 500),
            (secs(80), ms(100), ms(666), ms(266), 2),
            (secs(80), ms(600), ms(1266), ms(266), 1),
            (secs(80), Duration::ZERO, ms(666), ms(266), 500),
        ] {
            let pace = Pace::of(session, operation);
            assert_eq!(pace.operations.get(), operations, "{session:?} {operation:?}");
            assert!(
                pace.block.abs_diff(block) < ms(2) && pace.settle.abs_diff(settle) < ms(2),
                "{session:?} {operation:?}: {pace:?}"
            );
            let work = operation * pace.operations.get();
            assert!(work + pace.settle <= pace.block, "{pace:?}");
        }
    }

    #[test]
    fn a_block_is_begun_only_where_it_fits() {
        let pace = Pace::of(secs(15), ms(1));
        assert!(pace.fits(ms(275)) && !pace.fits(ms(274)));
    }

    #[test]
    fn blocks_that_are_too_short_get_longer_and_never_shorter() {
        let pace = Pace::of(secs(15), ms(1));
        assert_eq!(pace.stretched(ms(100)), pace);
        assert_eq!(pace.stretched(ms(275)), pace);
        let longer = pace.stretched(ms(400));
        assert_eq!(longer.block, ms(500));
        assert_eq!((longer.settle, longer.operations), (pace.settle, pace.operations));
        assert_eq!(longer.stretched(ms(400)), longer);
    }

    #[test]
    fn a_second_experiment_gets_what_there_is_or_nothing() {
        let pace = Pace::of(secs(15), ms(1)); // pairs of 500 ms, 550 with what may be late
        for (first, start, left, expected) in [
            (14, secs(2), secs(60), Some(21)),
            (40, secs(2), secs(60), Some(60)),
            (40, secs(2), secs(24), Some(40)),
            (40, secs(2), ms(9_701), Some(14)),
            (40, secs(2), ms(9_600), None),
            (14, secs(2), secs(1), None),
        ] {
            assert_eq!(
                pace.confirming_pairs(first, start, left),
                expected,
                "{first} {left:?}"
            );
        }
    }

    #[test]
    fn time_limits_are_checked() {
        assert_eq!(hours("0.03"), Ok(Duration::from_secs(108)));
        assert_eq!(time_limit("90s"), Ok(Duration::from_secs(90)));
        for text in ["0", "-1", "NaN", "inf", "x", "200"] {
            assert!(hours(text).is_err(), "{text}");
        }
        for text in ["14s", "8d", "", "x"] {
            assert!(time_limit(text).is_err(), "{text}");
        }
    }
}
