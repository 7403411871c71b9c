//! When to draw, and how often: arithmetic on instants, without a clock of its own.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::DrawRate;

const NANOS_PER_SEC: u128 = 1_000_000_000;

/// Spreads draws evenly over time, to the rate exactly in the long run.
#[derive(Debug)]
pub(super) struct Pacer {
    rate: DrawRate,
    since: Instant,
    /// Draws made, or given up, since then.
    settled: u64,
}

impl Pacer {
    pub(super) fn new(rate: DrawRate, now: Instant) -> Self {
        Self {
            rate,
            since: now,
            settled: 0,
        }
    }

    /// Goes on at `rate`. If that is another one, what is due at the old one is given up.
    pub(super) fn set_rate(&mut self, rate: DrawRate, now: Instant) {
        if rate != self.rate {
            *self = Self::new(rate, now);
        }
    }

    /// How many draws are due. Never more than a tenth of a second's worth: draws missed before that are given up.
    pub(super) fn due(&mut self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.since);
        let owed = (elapsed.as_nanos() * u128::from(self.rate.get()) / NANOS_PER_SEC) as u64;
        self.settled = self.settled.max(owed.saturating_sub(self.catch_up_bound()));
        (owed - self.settled.min(owed)) as u32
    }

    /// `count` draws have been made.
    pub(super) fn drew(&mut self, count: u32) {
        self.settled += u64::from(count);
    }

    /// When the next draw will be due; never, at rate 0.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let rate = u128::from(self.rate.get());
        if rate == 0 {
            return None;
        }
        let nanos = (u128::from(self.settled + 1) * NANOS_PER_SEC).div_ceil(rate);
        Some(self.since + Duration::from_nanos(nanos as u64))
    }

    fn catch_up_bound(&self) -> u64 {
        u64::from(self.rate.get()).div_ceil(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacer(draws_per_second: u32) -> (Pacer, Instant) {
        let start = Instant::now();
        (
            Pacer::new(DrawRate::try_from(draws_per_second).unwrap(), start),
            start,
        )
    }

    /// Draws made in ten seconds by one that looks every `step`.
    fn draws_in_ten_seconds(draws_per_second: u32, step: Duration) -> u64 {
        let (mut pacer, start) = pacer(draws_per_second);
        let mut total = 0;
        let mut now = start;
        while now < start + Duration::from_secs(10) {
            now += step;
            let due = pacer.due(now);
            pacer.drew(due);
            total += u64::from(due);
        }
        total
    }

    #[test]
    fn the_rate_is_met_exactly_whatever_the_steps() {
        for (rate, step_ms) in [
            (1, 2),
            (3, 1),
            (60, 2),
            (997, 2),
            (1000, 100),
            (100_000, 2),
            (100_000, 50),
        ] {
            assert_eq!(
                draws_in_ten_seconds(rate, Duration::from_millis(step_ms)),
                10 * u64::from(rate),
                "rate {rate}, step {step_ms} ms"
            );
        }
    }

    #[test]
    fn one_who_looks_too_rarely_is_not_allowed_to_catch_up() {
        // Looking every half second gives a tenth of a second's worth each time.
        assert_eq!(draws_in_ten_seconds(1000, Duration::from_millis(500)), 20 * 100);
    }

    #[test]
    fn at_rate_zero_nothing_is_ever_due() {
        let (mut pacer, start) = pacer(0);
        assert_eq!(pacer.due(start + Duration::from_secs(1000)), 0);
        assert_eq!(pacer.next_due(), None);
    }

    #[test]
    fn the_next_draw_is_due_when_it_is_said_to_be() {
        for rate in [1, 3, 7, 60, 999, 100_000] {
            let (mut pacer, _) = pacer(rate);
            for _ in 0..100 {
                let next = pacer.next_due().unwrap();
                assert_eq!(pacer.due(next - Duration::from_nanos(1)), 0, "rate {rate}");
                assert_eq!(pacer.due(next), 1, "rate {rate}");
                pacer.drew(1);
            }
        }
    }

    #[test]
    fn another_rate_starts_afresh_and_the_same_does_not() {
        let (mut pacer, start) = pacer(1000);
        let later = start + Duration::from_millis(50);
        pacer.set_rate(DrawRate::try_from(10).unwrap(), later);
        assert_eq!(pacer.due(later), 0);
        pacer.set_rate(DrawRate::try_from(10).unwrap(), later + Duration::from_millis(50));
        assert_eq!(pacer.next_due(), Some(later + Duration::from_millis(100)));
    }

    #[test]
    fn years_at_the_highest_rate_do_not_overflow() {
        let (mut pacer, start) = pacer(100_000);
        let later = start + Duration::from_secs(10 * 365 * 24 * 3600);
        assert_eq!(pacer.due(later), 10_000);
        pacer.drew(10_000);
        assert!(pacer.next_due().unwrap() > later);
    }
}
