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
//! window: call it from a thread that may block (`tokio::task::spawn_blocking`, not an async task). A [`Sampler`] of
//! one's own does the same without allocating.
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

mod backend;
#[cfg(feature = "fault-injection")]
mod fault_injection;
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))]
// Only backends name threads.
mod name;
mod platform;
mod report;
mod resource_counts;
mod sampler;
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))] // Only backends take them.
mod snapshot;
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))] // Only backends stamp.
mod stamp;
mod uptime;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, target_os = "macos"))]
mod macos;

pub use report::{ProcessMetrics, ProcessReport, RuntimeMetrics, ThreadMetrics, Unavailable};
pub use resource_counts::{PortNames, ResourceCounts};
pub use sampler::Sampler;
pub use uptime::init_at_startup;

use std::time::Duration;

use backend::Backend;

/// Samples the own process over `window`.
///
/// Blocks for the window, sleeping, and for two snapshots of the process. A window of zero is allowed: it covers
/// the time that the snapshots take. Where the CPU clocks lag, a window too short for them (under 100 ms on macOS)
/// has no CPU figures, and says so.
///
/// Keeps a [`Sampler`] for the process, so that the second call is much cheaper than the first. Calls at the same time
/// do not wait for each other.
///
/// Never fails: what cannot be read is named in [`ProcessReport::missing`], and where nothing can,
/// [`RuntimeMetrics::Unavailable`] says why, without waiting for the window where that is known before it.
#[must_use]
pub fn sample(window: Duration) -> RuntimeMetrics {
    sampler::with_kept(|sampler| sampler.sample(window))
}

/// Counts the resources that the process holds. Works on Linux and macOS; elsewhere every figure is missing.
///
/// Counting changes nothing, with one exception: a thread's first call may make the system set up
/// something for that thread which stays until the thread ends (on macOS a port for replies). **Compare counts
/// that one thread took, and leave out the first.** Take them while no other thread is in
/// [`sample`] or `resource_counts`, which hold rights and descriptors for a moment.
#[must_use]
pub fn resource_counts() -> ResourceCounts {
    platform::Platform::resource_counts()
}
