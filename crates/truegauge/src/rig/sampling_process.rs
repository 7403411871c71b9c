//! The sampling process of the exact tier (`crates/sampling-process`), or its leaking twin.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::child::{ChildGuard, Output};
use super::events::{Events, Role, WaitOutcome};
use crate::error::RunError;

/// How long it may take to answer. Samples by the hundred take milliseconds, but a new binary's first execution on macOS can wait
/// for a malware scan.
const LIMIT: Duration = Duration::from_secs(60);

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
        if let Err(error) = self.child.send_line(&line) {
            return Err(events.exit_or(refused(format!("{error:#}"))));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The request is written before the child ends, or after: the error names the child's exit either way.
    #[test]
    fn a_process_that_ended_before_the_request_is_named_by_its_exit() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut events = Events::silent().expect("a queue");
        let mut process = SamplingProcess::start(
            Path::new("/bin/false"),
            None,
            &dir.path().join("log"),
            &mut events,
        )
        .expect("/bin/false starts");
        // Closed by the exit alone: from here on a write is a broken pipe.
        assert!(process.child.wait(LIMIT).is_some());
        let error = process
            .request("sample", &json!({}), &mut events)
            .expect_err("it is gone");
        assert!(error.to_string().contains("exit status 1"), "{error}");
    }
}
