//! When a clock was read.

/// When something was read: between two stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    start_ns: u64,
    took_ns: u64,
}

impl Stamp {
    /// The middle between the two.
    pub(crate) fn middle_ns(self) -> u64 {
        self.part_ns(0, 1)
    }

    /// When the `index`th of `count` things was read, one after the other, each as quickly as the next.
    pub(crate) fn part_ns(self, index: usize, count: usize) -> u64 {
        self.start_ns + self.took_ns * (2 * index as u64 + 1) / (2 * count as u64)
    }
}

/// The result of `read`, with a stamp before it and one after it.
///
/// When the sampler is interrupted in between, the stamps can be milliseconds off. Such a reading is taken again, and
/// the one that took the shortest counts. An error is not tried again.
pub(crate) fn stamped<T, E>(
    mut now_ns: impl FnMut() -> Result<u64, E>,
    mut read: impl FnMut() -> Result<T, E>,
) -> Result<(T, Stamp), E> {
    const MAX_ATTEMPTS: u32 = 3;
    const MAX_PROMPT_NS: u64 = 50_000;

    let mut attempt = || {
        let start_ns = now_ns()?;
        let value = read()?;
        let took_ns = now_ns()?.saturating_sub(start_ns);
        Ok((value, Stamp { start_ns, took_ns }))
    };
    let mut best = attempt()?;
    for _ in 1..MAX_ATTEMPTS {
        if best.1.took_ns <= MAX_PROMPT_NS {
            break;
        }
        let next = attempt()?;
        if next.1.took_ns < best.1.took_ns {
            best = next;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::{Stamp, stamped};

    /// Stamps a clock that counts its readings, each of which takes the next of `durations_ns`.
    fn stamp(durations_ns: &[u64]) -> (u64, u64) {
        let now_ns = Cell::new(1_000);
        let mut durations_ns = durations_ns.iter();
        let mut readings = 0;
        let slow_clock = || {
            now_ns.set(now_ns.get() + durations_ns.next().expect("no more attempts than durations"));
            readings += 1;
            Ok::<_, Infallible>(readings)
        };
        let Ok((reading, stamp)) = stamped(|| Ok(now_ns.get()), slow_clock);
        (reading, stamp.middle_ns())
    }

    #[test]
    fn a_reading_that_was_interrupted_is_taken_again_and_the_shortest_counts() {
        for (durations_ns, read, at_ns) in [
            (&[50_000][..], 1, 1_000 + 25_000),
            (&[4_000_000, 200], 2, 1_000 + 4_000_000 + 100),
            (&[90_000, 60_000, 80_000], 2, 1_000 + 90_000 + 30_000),
            (&[60_000, 90_000, 80_000], 1, 1_000 + 30_000),
        ] {
            assert_eq!(stamp(durations_ns), (read, at_ns), "{durations_ns:?}");
        }
    }

    #[test]
    fn readings_between_two_stamps_are_spread_evenly() {
        let stamp = Stamp {
            start_ns: 1_000,
            took_ns: 800,
        };
        let at_ns: Vec<_> = (0..4).map(|index| stamp.part_ns(index, 4)).collect();
        assert_eq!(at_ns, [1_100, 1_300, 1_500, 1_700]);
        assert_eq!(stamp.middle_ns(), 1_400);
    }

    #[test]
    fn a_refused_clock_is_not_tried_again() {
        let mut attempts = 0;
        let refused = || {
            attempts += 1;
            Err::<u64, _>("refused")
        };
        let error = stamped(|| Ok(0), refused).expect_err("refused");
        assert_eq!((error, attempts), ("refused", 1));
    }
}
