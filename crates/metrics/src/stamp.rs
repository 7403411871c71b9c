//! When a clock was read.

/// What `read` reads, and the moment: the middle between a stamp before and one after it.
///
/// When the sampler is interrupted in between, the middle can be milliseconds off. Such a reading is taken again, and
/// the one that took the shortest counts. An error is not tried again.
pub(crate) fn stamped<T, E>(
    mut now_ns: impl FnMut() -> Result<u64, E>,
    mut read: impl FnMut() -> Result<T, E>,
) -> Result<(T, u64), E> {
    const ATTEMPTS: u32 = 3;
    const PROMPT_NS: u64 = 50_000;

    let mut attempt = || {
        let start_ns = now_ns()?;
        let value = read()?;
        let took_ns = now_ns()?.saturating_sub(start_ns);
        Ok((took_ns, (value, start_ns + took_ns / 2)))
    };
    let mut best = attempt()?;
    for _ in 1..ATTEMPTS {
        if best.0 <= PROMPT_NS {
            break;
        }
        let next = attempt()?;
        if next.0 < best.0 {
            best = next;
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::stamped;

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
        let Ok(reading) = stamped(|| Ok(now_ns.get()), slow_clock);
        reading
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
