//! Platforms without a backend.

use std::time::Duration;

use crate::report::ProcessReport;

pub(crate) struct Backend;

impl Backend {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn without_thread_clocks() -> Self {
        Self
    }

    pub(crate) fn sample(
        &mut self,
        _asked: Duration,
        _pause: impl FnOnce(),
        _report: &mut ProcessReport,
    ) -> Result<(), String> {
        Err(format!(
            "no backend for this platform ({}); supported: linux, macos",
            std::env::consts::OS
        ))
    }
}
