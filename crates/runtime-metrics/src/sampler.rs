//! The sampler, which keeps between samples what makes them cheap.

use std::fmt;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::backend::Backend;
use crate::platform::Platform;
use crate::report::{ProcessReport, RuntimeMetrics};

/// Samples the own process again and again, cheaply.
///
/// ```
/// # use std::time::Duration;
/// let mut sampler = runtime_metrics::Sampler::new();
/// let mut metrics = sampler.sample(Duration::from_millis(20));
/// for _ in 0..3 {
///     // Fills what is there: once it is large enough, nothing is allocated.
///     sampler.sample_into(Duration::from_millis(20), &mut metrics);
/// }
/// ```
///
/// Every sample is what [`sample`](crate::sample) gives, which keeps a sampler itself. One of one's own is for a
/// caller that has a buffer to fill again, or that wants what is kept to go at a time of its choosing.
///
/// # What it keeps
///
/// On Linux two descriptors, the threads that it found last and their names; on macOS memory alone, and no right to
/// a port. What it keeps only saves work: a fork, threads that come and go, and names that change are noticed. Not
/// noticed is the new name of a thread that *another* thread renames, until the renamed one next runs.
///
/// A program that closes descriptors which are not its own (`closefrom`) must drop its samplers first.
pub struct Sampler {
    platform: Platform,
}

impl Sampler {
    /// A sampler that keeps nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            platform: Platform::new(),
        }
    }

    /// One that does not ask Linux for the CPU clocks of threads, for programs under a seccomp filter that *kills*
    /// on clock ids that it does not know. `schedstat` or `stat` stand in: the CPU figures lag by up to 10 ms, and
    /// there are none in windows under 100 ms. On other platforms it is like any other.
    #[must_use]
    pub fn without_thread_clocks() -> Self {
        Self {
            platform: Platform::without_thread_clocks(),
        }
    }

    /// Samples the own process over `window`: see [`sample`](crate::sample).
    #[must_use]
    pub fn sample(&mut self, window: Duration) -> RuntimeMetrics {
        let mut metrics = RuntimeMetrics::Available(ProcessReport::empty());
        self.sample_into(window, &mut metrics);
        metrics
    }

    /// As [`Self::sample`], into metrics whose memory is used again. Nothing of what they said before is left.
    ///
    /// From the second sample on this allocates nothing, unless there are more threads than before or something is
    /// missing.
    pub fn sample_into(&mut self, window: Duration, metrics: &mut RuntimeMetrics) {
        #[cfg(feature = "fault-injection")]
        crate::fault_injection::on_sample();
        if metrics.available().is_none() {
            *metrics = RuntimeMetrics::Available(ProcessReport::empty());
        }
        let RuntimeMetrics::Available(report) = metrics else {
            unreachable!("made available just above");
        };
        if let Err(reason) = self.platform.sample(window, || thread::sleep(window), report) {
            *metrics = RuntimeMetrics::unavailable(reason);
        }
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").finish_non_exhaustive()
    }
}

/// The sampler of callers that have none: taken out while it is in use, so that samples at the same time do not wait
/// for each other's windows. The second then starts with a sampler of its own, and what is put back last is dropped.
///
/// Nobody waits for the lock either: in the child of a fork it may be one that nobody will ever release.
static KEPT: Mutex<Option<Sampler>> = Mutex::new(None);

pub(crate) fn with_kept<T>(work: impl FnOnce(&mut Sampler) -> T) -> T {
    let kept = KEPT.try_lock().ok().and_then(|mut kept| kept.take());
    let mut sampler = kept.unwrap_or_default();
    let result = work(&mut sampler);
    if let Ok(mut kept) = KEPT.try_lock() {
        kept.get_or_insert(sampler);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_can_go_to_another_thread() {
        let mut sampler = Sampler::new();
        let here = sampler.sample(Duration::ZERO);
        let there = thread::spawn(move || sampler.sample(Duration::ZERO))
            .join()
            .expect("sampled");
        assert_eq!(here.available().is_some(), there.available().is_some());
    }

    #[test]
    fn what_metrics_said_before_does_not_stay() {
        let mut sampler = Sampler::new();
        let mut metrics = RuntimeMetrics::unavailable("before");
        sampler.sample_into(Duration::ZERO, &mut metrics);
        match &metrics {
            RuntimeMetrics::Available(report) => assert!(!report.threads.is_empty()),
            RuntimeMetrics::Unavailable(unavailable) => assert_ne!(unavailable.reason, "before"),
        }
    }
}
