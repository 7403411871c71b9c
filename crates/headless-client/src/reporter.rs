//! Files reports of one session.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shakenfist_spice_renderer::NotificationSource;
use tokio::task::spawn_blocking;

use crate::report::{FiledReport, Measurement, Report, ReportType, Trigger};
use crate::session::Session;

/// Window of reports without one of their own: that of a desktop client's manual report.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(2);

/// Files reports.
pub struct Reporter {
    /// The session that is reported about.
    pub session: Arc<Session>,
    /// `host:port` of its server.
    pub target: String,
    /// Directory of the reports, which exists.
    pub dir: PathBuf,
    /// Directory of the reports of protocol gaps, which exists.
    pub pedantic_dir: PathBuf,
}

impl Reporter {
    /// Files one report, measured over `window` from now on. A failure is a notification in the reports to come, too.
    ///
    /// # Errors
    ///
    /// When it cannot be gathered or written.
    pub async fn file(self: &Arc<Self>, trigger: Trigger, window: Duration) -> anyhow::Result<FiledReport> {
        let report_type = trigger.report_type;
        let reporter = Arc::clone(self);
        let outcome = spawn_blocking(move || reporter.measure_and_file(trigger, window)).await?;
        match &outcome {
            Ok(filed) => tracing::info!("filed {}", filed.path.display()),
            Err(error) => {
                tracing::error!("{} report: {error:#}", report_type.name());
                self.session
                    .warn(NotificationSource::BugReport, format!("{error:#}"));
            }
        }
        outcome
    }

    fn measure_and_file(&self, trigger: Trigger, window: Duration) -> anyhow::Result<FiledReport> {
        let dir = match trigger.report_type {
            ReportType::Gap => &self.pedantic_dir,
            _ => &self.dir,
        };
        let measurement = Measurement::take(window)?;
        let report = Report::gather(&self.session, self.target.clone(), trigger, measurement)?;
        let members = report.members()?;
        #[cfg(feature = "fault-injection")]
        let members = crate::fault_injection::tampered(members);
        Ok(report.file_into(dir, &members)?)
    }
}
