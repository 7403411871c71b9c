//! The contract with a platform.

use std::time::Duration;

use crate::report::ProcessReport;
use crate::resource_counts::ResourceCounts;
use crate::snapshot::{EndReadings, Snapshot, report_between};

/// One platform's sampling. A value holds what is kept between samples.
pub(crate) trait Backend: Sized {
    /// Keeps nothing yet.
    fn new() -> Self;

    /// As [`Self::new`], for systems that kill a process which reads the CPU clock of a thread.
    fn without_thread_clocks() -> Self {
        Self::new()
    }

    /// Takes two snapshots with `pause` between them, and the other figures after the second.
    ///
    /// Fails without pausing if the platform can read nothing.
    fn read_window(&mut self, pause: impl FnOnce()) -> Result<Window<'_>, String>;

    /// Counts the resources that the process holds.
    fn resource_counts() -> ResourceCounts;

    /// Fills the report with the figures of one window.
    fn sample(
        &mut self,
        asked: Duration,
        pause: impl FnOnce(),
        report: &mut ProcessReport,
    ) -> Result<(), String> {
        self.read_window(pause)?.fill(asked, report)
    }
}

/// The readings of one window.
pub(crate) struct Window<'b> {
    pub(crate) before: &'b Snapshot,
    pub(crate) after: &'b Snapshot,
    pub(crate) end: EndReadings,
}

impl Window<'_> {
    pub(crate) fn fill(self, asked: Duration, report: &mut ProcessReport) -> Result<(), String> {
        report_between(self.before, self.after, self.end, asked, report)
    }
}
