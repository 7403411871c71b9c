//! The backend on a model kernel, wherever the tests run, and on the real one where that is a Mac.

mod balance;
mod census;
mod conformance;
mod faults;
mod faulty;
mod leaks;
mod model;
mod releases;
mod scene;
mod truth;
#[cfg(target_os = "macos")]
mod xnu;

use std::sync::OnceLock;
use std::time::Duration;

use super::kernel::Kernel;
use crate::ProcessReport;
use crate::snapshot::difference;

/// What [`crate::sample`] does, with the pause in the caller's hands.
fn sample(kernel: &dyn Kernel, asked: Duration, pause: impl FnOnce()) -> Result<ProcessReport, String> {
    let source = OnceLock::new();
    let before = super::take(kernel, &source)?;
    pause();
    difference(&before, super::take(kernel, &source)?, asked)
}
