//! Events of a run, and where they go.
//!
//! The engine prints nothing: it emits [`RunEvent`]s to a [`Reporter`]. The binary's reporter is
//! [`Console`](crate::output::Console); tests use [`Recorder`].

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One event of a run, in the order in which the run reaches it.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// A step of the run begins; steps do not nest.
    StepBegan(&'a str),
    /// The step ends.
    StepEnded,
    /// The run does this now.
    Doing(&'a str),
    /// This command is about to be started.
    Starting(&'a Command),
    /// A child failed, and its log may say why.
    LogToShow(&'a Path),
    /// The soak's experiment completed a pair of blocks.
    SoakProgress {
        /// Since the soak began.
        elapsed: Duration,
        /// The soak's time limit.
        total: Duration,
        /// Pairs and operations so far.
        progress: &'a str,
        /// The bounds of each resource so far.
        bounds: &'a str,
    },
    /// The soak's experiment ended.
    SoakEnded,
    /// A part of the result, which belongs on standard output.
    Result(&'a str),
    /// A command for GitHub's runner, escaped already.
    WorkflowCommand(&'a str),
    /// An output could not be written; the run and its verdict stand.
    Warning(&'a anyhow::Error),
    /// An error that ends the run, or one of several runs.
    Error(&'a anyhow::Error),
}

/// Receives every event of a run.
pub trait Reporter: Send + Sync {
    /// Takes one event. A reporter that cannot write drops it: output never changes a verdict.
    fn emit(&self, event: &RunEvent<'_>);
}

/// Begins a step, and ends it when dropped.
pub(crate) struct Step<'a>(&'a dyn Reporter);

impl<'a> Step<'a> {
    pub(crate) fn begin(reporter: &'a dyn Reporter, title: &str) -> Self {
        reporter.emit(&RunEvent::StepBegan(title));
        Self(reporter)
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.emit(&RunEvent::StepEnded);
    }
}

/// A reporter that shows nothing and keeps every event as text.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// The events so far, each in its `Debug` form.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Reporter for Recorder {
    fn emit(&self, event: &RunEvent<'_>) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(format!("{event:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_when_it_is_dropped() {
        let recorder = Recorder::default();
        {
            let _step = Step::begin(&recorder, "session");
            recorder.emit(&RunEvent::Doing("report 1 of 3"));
        }
        assert_eq!(
            recorder.events(),
            ["StepBegan(\"session\")", "Doing(\"report 1 of 3\")", "StepEnded"]
        );
    }
}
