//! The clock that all processes of one machine share.

use nix::time::{ClockId, clock_gettime};

/// The monotonic clock that harness and client can compare.
///
/// On macOS it is `CLOCK_UPTIME_RAW`, `mach_absolute_time` in nanoseconds: that is what the kernel stamps a process's
/// start with (`ri_proc_start_abstime`), whereas its `CLOCK_MONOTONIC` is computed from the wall clock, in
/// microseconds (Libc, `gen/clock_gettime.c`).
#[cfg(target_vendor = "apple")]
const CLOCK: ClockId = ClockId::from_raw(nix::libc::CLOCK_UPTIME_RAW);
/// The monotonic clock that harness and client can compare.
#[cfg(not(target_vendor = "apple"))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// The shared monotonic clock in nanoseconds, which another process can compare with its own reading.
///
/// [`std::time::Instant`] is no substitute: it is opaque.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(CLOCK).expect("every supported system has this clock");
    let seconds = u64::try_from(now.tv_sec()).expect("a monotonic clock does not run below zero");
    let nanoseconds = u64::try_from(now.tv_nsec()).expect("a monotonic clock does not run below zero");
    seconds * 1_000_000_000 + nanoseconds
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::monotonic_ns;

    #[test]
    fn advances_in_nanoseconds() {
        let started = Instant::now();
        let before = monotonic_ns();
        while started.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let advanced = monotonic_ns() - before;
        assert!(
            (19_000_000..10_000_000_000).contains(&advanced),
            "{advanced} ns over at least 20 ms"
        );
    }
}
