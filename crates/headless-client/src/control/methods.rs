//! Handlers of the requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use shakenfist_spice_renderer::CancellationToken;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::ExtraThreads;
use super::protocol::{
    BugReport, BugReportResult, Call, Error, ErrorCode, HelloResult, METHODS, PROTOCOL_VERSION, Sample,
    SampleResult, Status, StatusResult,
};
use crate::report::{FiledReport, ReportType, Trigger};
use crate::reporter::Reporter;
use crate::session::Session;

/// The parts of the client that requests act on.
pub struct Methods {
    /// The session that is asked about.
    pub session: Arc<Session>,
    /// Files its reports.
    pub reporter: Arc<Reporter>,
    /// Idle threads that start and end on request.
    pub extra_threads: Arc<ExtraThreads>,
    /// Ends the client.
    pub stop: CancellationToken,
}

impl Methods {
    /// Handles one request. `quit` only agrees: the caller answers the peer first and then cancels
    /// [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// The error that the peer is told.
    pub async fn handle(&self, call: Call) -> Result<Value, Error> {
        match call {
            Call::Hello(hello) => {
                tracing::info!("control: hello from {:?}", hello.client_name);
                result(&HelloResult {
                    server_name: env!("CARGO_PKG_NAME"),
                    server_version: env!("CARGO_PKG_VERSION"),
                    protocol_version: PROTOCOL_VERSION,
                    pid: std::process::id(),
                    supported_methods: METHODS,
                })
            }
            Call::Status(status) => self.status(&status).await,
            Call::Sample(sample) => self.sample(sample).await,
            // Counting opens files, which must not block a thread of the session.
            Call::ResourceCounts => result(
                &spawn_blocking(runtime_metrics::resource_counts)
                    .await
                    .map_err(internal)?,
            ),
            Call::ExtraThreads(asked) => self.set_extra_threads(asked.count).await,
            Call::BugReport(report) => self.bug_report(report).await,
            Call::Quit => Ok(json!({})),
        }
    }

    async fn status(&self, status: &Status) -> Result<Value, Error> {
        if let Some(milliseconds) = status.await_surface_ms {
            // After so long the answer is the same, with no surface in it.
            let _ = timeout(Duration::from_millis(milliseconds), self.session.surface_shown()).await;
        }
        let state = self.session.state();
        result(&StatusResult {
            spice_connected: state.connected,
            surfaces: state.surfaces,
            frames_received: state.frames_received,
            uptime_secs: state.uptime_secs,
        })
    }

    async fn sample(&self, Sample { count, window_ms }: Sample) -> Result<Value, Error> {
        let stop = self.stop.clone();
        let sampling = move || {
            let started = Instant::now();
            let window = Duration::from_millis(window_ms);
            let mut last = runtime_metrics::sample(window);
            let mut taken = 1;
            while taken < count && !stop.is_cancelled() {
                last = runtime_metrics::sample(window);
                taken += 1;
            }
            SampleResult {
                count: taken,
                elapsed_ms: started.elapsed().as_secs_f64() * 1e3,
                last,
            }
        };
        result(&spawn_blocking(sampling).await.map_err(internal)?)
    }

    /// Joining a thread blocks, which must not happen on a thread of the session.
    async fn set_extra_threads(&self, count: u64) -> Result<Value, Error> {
        let extra_threads = Arc::clone(&self.extra_threads);
        let count = usize::try_from(count).map_err(internal)?;
        spawn_blocking(move || extra_threads.set(count))
            .await
            .map_err(internal)?
            .map_err(internal)?;
        Ok(json!({"count": count}))
    }

    async fn bug_report(
        &self,
        BugReport {
            window_ms,
            description,
        }: BugReport,
    ) -> Result<Value, Error> {
        let trigger = Trigger::now(ReportType::Manual, description);
        let FiledReport { path, bytes } = self
            .reporter
            .file(trigger, Duration::from_millis(window_ms))
            .await
            .map_err(internal)?;
        result(&BugReportResult { path, bytes })
    }
}

fn result(result: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(result).map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::InternalError, format!("{error:#}"))
}
