//! Files reports of one session, whatever brings them about.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shakenfist_spice_renderer::NotificationSource;
use tokio::task::spawn_blocking;

use crate::report::{FiledReport, Measurement, Report, ReportType, Trigger};
use crate::session::Session;

/// The window of reports that nobody gives one: as long as a desktop client's manual report takes.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(2);

/// Files reports.
pub struct Reporter {
    /// The session that is reported about.
    pub session: Arc<Session>,
    /// `host:port` of its server.
    pub target: String,
    /// Where reports go, which is there.
    pub dir: PathBuf,
    /// Where those of protocol gaps go, which is there.
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
