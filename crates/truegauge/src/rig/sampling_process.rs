//! The quiet process of the exact tier (`crates/runtime-metrics/examples/quiet.rs`), or its leaking twin.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::child::{ChildGuard, Output};
use super::events::{Events, Role, Waited};
use crate::exit::Stop;

/// How long it may take to answer: samples by the hundred take milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

/// A running quiet process.
pub(crate) struct Quiet {
    child: ChildGuard,
    next_id: u64,
}

impl Quiet {
    /// Starts it; `fault` is for the leaking twin.
    pub(crate) fn start(
        binary: &Path,
        fault: Option<&str>,
        log: &Path,
        events: &mut Events,
    ) -> Result<Self, Stop> {
        let mut command = Command::new(binary);
        if let Some(fault) = fault {
            command.env("RUNTIME_METRICS_FAULT", fault);
        }
        let child = ChildGuard::spawn(Role::Quiet, command, Output::Protocol, Some(log), events.sender());
        let child = child.map_err(|error| Stop::Environment(format!("{error:#}")))?;
        Ok(Self {
            child: child.end_by(events.deadline()),
            next_id: 1,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        params: &Value,
        events: &mut Events,
    ) -> Result<Value, Stop> {
        let id = self.next_id;
        self.next_id += 1;
        let refused = |why: String| Stop::Client(format!("the quiet process: `{method}`: {why}"));
        let line = json!({"id": id, "method": method, "params": params}).to_string();
        self.child
            .send_line(&line)
            .map_err(|error| refused(format!("{error:#}")))?;
        match events.answer(Role::Quiet, id, LIMIT)? {
            Waited::Got(answer) => answer.map_err(refused),
            Waited::TimedOut => Err(refused(format!("no answer within {LIMIT:?}"))),
        }
    }

    /// Lets it end, as it does at end-of-file.
    pub(crate) fn end(mut self, events: &mut Events) -> Result<(), Stop> {
        self.child.close();
        let ended = events.ended(Role::Quiet, LIMIT)?;
        self.child.end();
        if ended {
            Ok(())
        } else {
            Err(Stop::Client(format!(
                "the quiet process did not end within {LIMIT:?}"
            )))
        }
    }
}
