//! What the requests do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use shakenfist_spice_renderer::CancellationToken;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Companions;
use super::protocol::{
    BugReport, BugReportResult, Call, Error, ErrorCode, HelloResult, METHODS, PROTOCOL_VERSION, Sample,
    SampleResult, Status, StatusResult,
};
use crate::report::{Cause, Filed, Occasion};
use crate::reporter::Reporter;
use crate::session::Session;

/// What requests act on.
pub struct Methods {
    /// The session that is asked about.
    pub session: Arc<Session>,
    /// Files its reports.
    pub reporter: Arc<Reporter>,
    /// Threads that come and go as requests want it.
    pub companions: Arc<Companions>,
    /// Ends the client.
    pub stop: CancellationToken,
}

impl Methods {
    /// Carries out one request. `quit` only agrees: whoever has told the peer so cancels
    /// [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// Whatever the peer should know.
    pub async fn carry_out(&self, call: Call) -> Result<Value, Error> {
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
            // A census opens files: not on a thread that the session runs on.
            Call::Census => result(&spawn_blocking(runtime_metrics::census).await.map_err(internal)?),
            Call::Companions(asked) => self.set_companions(asked.count).await,
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

    /// Ending a thread waits for its end: not on a thread that the session runs on.
    async fn set_companions(&self, count: u64) -> Result<Value, Error> {
        let companions = Arc::clone(&self.companions);
        let count = usize::try_from(count).map_err(internal)?;
        spawn_blocking(move || companions.set(count))
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
        let occasion = Occasion::now(Cause::Manual, description);
        let Filed { path, bytes } = self
            .reporter
            .file(occasion, Duration::from_millis(window_ms))
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
