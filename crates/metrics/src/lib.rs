//! True CPU, memory, uptime and per-thread CPU of the own process, for bug reports.
//!
//! ```
//! use std::time::Duration;
//!
//! fn main() {
//!     runtime_metrics::init_at_startup(); // first statement: uptime counts from here
//!     let metrics = runtime_metrics::sample(Duration::from_millis(50));
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

mod report;
mod snapshot;
mod uptime;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod unavailable;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
use unavailable as platform;

pub use report::{ProcessMetrics, ProcessReport, RuntimeMetrics, ThreadMetrics, Unavailable};
pub use uptime::init_at_startup;
