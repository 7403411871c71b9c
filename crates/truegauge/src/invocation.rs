//! The circumstances of a run that are not the run's own arguments.

use std::path::PathBuf;
use std::sync::Arc;

use crate::output::console::quoted;
use crate::reporter::{Reporter, RunEvent};

/// Runs that stay in the default directory; older ones are removed.
pub(crate) const RUNS_KEPT: usize = 10;

/// How and where a command runs.
pub struct Invocation {
    /// Receives the run's events.
    pub reporter: Arc<dyn Reporter>,
    /// The parent of run directories where the command line names none.
    pub runs_dir: PathBuf,
    /// The command line that reproduces the run.
    pub command: String,
    /// The checkout that the client was built from: its revision and tools go into the evidence.
    pub checkout: Option<PathBuf>,
    /// This program: its subcommand `source` is the synthetic SPICE server.
    pub own_binary: PathBuf,
}

impl Invocation {
    /// A run of this process as it was started: directories below the current one, the process's own command line.
    ///
    /// # Errors
    /// If the operating system does not tell the path of the executable.
    pub fn of_this_process(reporter: Arc<dyn Reporter>) -> std::io::Result<Self> {
        let words = std::env::args_os().skip(1).map(|word| quoted(&word));
        Ok(Self {
            reporter,
            runs_dir: PathBuf::from("truegauge-runs"),
            command: std::iter::once("truegauge".to_owned())
                .chain(words)
                .collect::<Vec<_>>()
                .join(" "),
            checkout: None,
            own_binary: std::env::current_exe()?,
        })
    }

    pub(crate) fn emit(&self, event: &RunEvent<'_>) {
        self.reporter.emit(event);
    }

    pub(crate) fn doing(&self, what: &str) {
        self.emit(&RunEvent::Doing(what));
    }

    pub(crate) fn result(&self, text: &str) {
        self.emit(&RunEvent::Result(text));
    }
}
