//! The process's own start, as it remembers it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static STARTED: OnceLock<Instant> = OnceLock::new();

/// Marks the start of the process, from which `uptime_secs` counts.
///
/// **Call it as the first statement of `main`**, before arguments are parsed, a runtime is built or a thread is
/// spawned: whatever runs before it is missing from every uptime. It takes one reading of the monotonic clock,
/// allocates nothing and exists on every platform. Only the first call counts; later ones change nothing.
///
/// Without it [`sample`](crate::sample) names `process.uptime_secs` as missing: an uptime that began with the
/// first sample would look right and be wrong.
pub fn init_at_startup() {
    STARTED.get_or_init(Instant::now);
}

/// Time since [`init_at_startup`], or why there is none.
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))] // Only backends ask.
pub(crate) fn uptime() -> Result<Duration, String> {
    STARTED
        .get()
        .map(Instant::elapsed)
        .ok_or_else(|| "init_at_startup() has not been called".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_init_at_startup_runs_without_panic() {
        init_at_startup();
        let first = *STARTED.get().expect("the first call sets the start");
        init_at_startup();
        assert_eq!(
            STARTED.get(),
            Some(&first),
            "a second call must not move the start"
        );
        assert!(uptime().expect("initialised") <= first.elapsed());
    }
}
