//! The sampling process of the exact tier (`crates/sampling-process`), or its leaking twin.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::child::{ChildGuard, Output};
use super::events::{Events, Role, WaitOutcome};
use crate::error::RunError;

/// How long it may take to answer: samples by the hundred take milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

/// A running sampling process.
pub(crate) struct SamplingProcess {
    child: ChildGuard,
    next_id: u64,
}

impl SamplingProcess {
    /// Starts it; `fault` is for the leaking twin.
    pub(crate) fn start(
        binary: &Path,
        fault: Option<&str>,
        log: &Path,
        events: &mut Events,
    ) -> Result<Self, RunError> {
        let mut command = Command::new(binary);
        if let Some(fault) = fault {
            command.env("RUNTIME_METRICS_FAULT", fault);
        }
        let child = ChildGuard::spawn(
            Role::SamplingProcess,
            command,
            Output::Protocol,
            Some(log),
            events,
        );
        let child = child.map_err(|error| RunError::Environment(format!("{error:#}")))?;
        Ok(Self { child, next_id: 1 })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Asks, and waits for the answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        params: &Value,
        events: &mut Events,
    ) -> Result<Value, RunError> {
        let id = self.next_id;
        self.next_id += 1;
        let refused = |why: String| RunError::Client(format!("the sampling process: `{method}`: {why}"));
        let line = json!({"id": id, "method": method, "params": params}).to_string();
        self.child
            .send_line(&line)
            .map_err(|error| refused(format!("{error:#}")))?;
        match events.answer(self.child.id(), id, LIMIT)? {
            WaitOutcome::Got(answer) => answer.map_err(refused),
            WaitOutcome::TimedOut => Err(refused(format!("no answer within {LIMIT:?}"))),
        }
    }

    /// Lets it end, as it does at end-of-file.
    pub(crate) fn end(mut self, events: &mut Events) -> Result<(), RunError> {
        self.child.close();
        let ended = events.wait_for_exit(self.child.id(), LIMIT)?;
        self.child.end();
        if ended {
            Ok(())
        } else {
            Err(RunError::Client(format!(
                "the sampling process did not end within {LIMIT:?}"
            )))
        }
    }
}
