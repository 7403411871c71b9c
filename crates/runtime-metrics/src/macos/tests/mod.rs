//! The backend on a model kernel, wherever the tests run, and on the real one where that is a Mac.

mod accuracy;
mod budget;
mod catalogue;
mod conformance;
mod faults;
mod faulty;
mod fixture;
mod leaks;
mod model;
mod releases;
mod resource_counts;
mod right_accounting;
#[cfg(target_os = "macos")]
mod xnu;

use std::sync::OnceLock;
use std::time::Duration;

use super::MacOs;
use super::cpu::Source;
use super::kernel::Kernel;
use super::threads::Listed;
use crate::ProcessReport;
use crate::snapshot::Snapshot;

/// What [`crate::sample`] does, with the pause in the caller's hands.
fn sample(kernel: &dyn Kernel, asked: Duration, pause: impl FnOnce()) -> Result<ProcessReport, String> {
    let mut report = ProcessReport::empty();
    MacOs::empty()
        .window_of(kernel, &OnceLock::new(), pause)?
        .fill(asked, &mut report)?;
    Ok(report)
}

/// The first snapshot of a sample.
fn snapshot(kernel: &dyn Kernel, source: &OnceLock<Source>) -> Result<Snapshot, String> {
    let mut snapshot = Snapshot::empty();
    super::take(kernel, source, &Listed::nothing(), &mut snapshot)?;
    Ok(snapshot)
}
