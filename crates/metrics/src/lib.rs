//! True CPU, memory, uptime and per-thread CPU of the own process, for bug reports.
//!
//! ```
//! use std::time::Duration;
//!
//! fn main() {
//!     runtime_metrics::init_at_startup(); // first statement: uptime counts from here
//!     let metrics = runtime_metrics::sample(Duration::from_millis(200));
//!     println!("{}", serde_json::to_string_pretty(&metrics).unwrap());
//! }
//! ```
//!
//! [`sample`] takes two snapshots of the process, a window apart, and reports the difference. It blocks for the
//! window: call it from a thread that may block (`tokio::task::spawn_blocking`, not an async task).
//!
//! # What the figures mean
//!
//! - CPU is in percent of one core over the *measured* window, never the nominal one; the process's may exceed
//!   100. It covers user and system time of every thread, living or ended.
//! - Memory is in KiB.
//! - A figure that could not be read is absent and named, with the reason, in [`ProcessReport::missing`].
//!   It is never 0.
//!
//! # Platforms
//!
//! Linux and macOS; elsewhere [`RuntimeMetrics::Unavailable`], with a reason.

mod census;
#[cfg(feature = "fault-injection")]
mod fault_injection;
mod report;
mod snapshot;
#[cfg(any(test, target_os = "linux", target_os = "macos"))]
mod stamp;
mod uptime;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, target_os = "macos"))]
mod macos;
#[cfg(any(test, not(any(target_os = "linux", target_os = "macos"))))]
mod unavailable;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
use unavailable as platform;

pub use census::{Census, PortNames, census};
pub use report::{ProcessMetrics, ProcessReport, RuntimeMetrics, ThreadMetrics, Unavailable};
pub use uptime::init_at_startup;

use std::thread;
use std::time::Duration;

use snapshot::Snapshot;

/// Samples the own process over `window`.
///
/// Blocks for the window, sleeping, and for two snapshots of the process. A window of zero is allowed: it covers
/// the time that the snapshots take. Where the CPU clocks lag, a window too short for them (under 100 ms on macOS)
/// has no CPU figures, and says so.
///
/// Never fails: what cannot be read is named in [`ProcessReport::missing`], and where nothing can,
/// [`RuntimeMetrics::Unavailable`] says why, without waiting for the window where that is known before it.
#[must_use]
pub fn sample(window: Duration) -> RuntimeMetrics {
    #[cfg(feature = "fault-injection")]
    fault_injection::on_sample();
    sample_with(platform::snapshot, window)
}

fn sample_with(snapshot: impl Fn() -> Result<Snapshot, String>, window: Duration) -> RuntimeMetrics {
    let report = || {
        let before = snapshot()?;
        thread::sleep(window);
        snapshot::difference(&before, snapshot()?, window)
    };
    match report() {
        Ok(report) => RuntimeMetrics::Available(report),
        Err(reason) => RuntimeMetrics::unavailable(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::Cell;

    #[test]
    fn a_platform_without_a_backend_says_so_at_once() {
        // A sleep of this length would not end.
        let metrics = sample_with(unavailable::snapshot, Duration::MAX);
        let os = std::env::consts::OS;
        let reason = format!("no backend for this platform ({os}); supported: linux, macos");
        let json = serde_json::to_value(&metrics).expect("JSON");
        assert_eq!(
            json,
            json!({"platform": os, "available": false, "reason": reason})
        );
        assert_eq!(metrics.available(), None);
    }

    #[test]
    fn a_second_snapshot_that_fails_leaves_a_reason_too() {
        let calls = Cell::new(0);
        let fails_later = || {
            calls.set(calls.get() + 1);
            if calls.get() == 1 {
                platform::snapshot()
            } else {
                Err("gone".to_owned())
            }
        };
        let RuntimeMetrics::Unavailable(unavailable) = sample_with(fails_later, Duration::ZERO) else {
            panic!("a report from one snapshot");
        };
        assert_eq!((unavailable.reason.as_str(), calls.get()), ("gone", 2));
    }
}
