//! Exit codes that scripts can trust, and the errors that choose them.

use std::fmt;
use std::process::ExitCode;

use report_reader::{OpenError, ReadError};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was judged passed.
    Pass = 0,
    /// A check failed, an operation leaks, or the client died.
    Fail = 1,
    /// Usage or environment: nothing is known of the client.
    Environment = 2,
    /// The run could not decide.
    Inconclusive = 3,
}

impl Exit {
    /// The exit code that an error asks for: whatever nobody blamed on the client is the environment's.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<RunError>() {
            Some(RunError::Client(_)) => Self::Fail,
            Some(RunError::Interrupted | RunError::TimeUp) => Self::Inconclusive,
            Some(RunError::Environment(_)) | None => Self::Environment,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a run ended before its verdict.
#[derive(Debug)]
pub enum RunError {
    /// The client is at fault: that is a failed run.
    Client(String),
    /// The harness, the source or the machine is at fault: nothing is known of the client.
    Environment(String),
    /// Somebody asked the run to end.
    Interrupted,
    /// The time that the run was given is over.
    TimeUp,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(what) | Self::Environment(what) => f.write_str(what),
            Self::Interrupted => f.write_str("interrupted: the run ended before its verdict"),
            Self::TimeUp => f.write_str("the time was up: the run ended before its verdict"),
        }
    }
}

impl std::error::Error for RunError {}

impl RunError {
    /// The error of a run whose client has just filed the report: whatever is wrong with it, the client wrote it so.
    pub(crate) fn of_filed_report(error: impl Into<anyhow::Error>) -> Self {
        let error: anyhow::Error = error.into();
        let is_io = |error: &ReadError| matches!(error, ReadError::Io(_));
        let cannot_be_opened = error
            .downcast_ref::<OpenError>()
            .is_some_and(|open| is_io(&open.source));
        if cannot_be_opened || error.downcast_ref().is_some_and(is_io) {
            Self::Environment(format!("{error:#}"))
        } else {
            Self::Client(format!("{error:#}"))
        }
    }

    /// The error of a report that was submitted: the client is at fault for what it must have written so.
    pub(crate) fn of_submitted_report(error: ReadError) -> anyhow::Error {
        if error.is_clients_fault() {
            Self::Client(format!("{:#}", anyhow::Error::from(error))).into()
        } else {
            error.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_cause_chooses_the_code_through_any_context() {
        let of = |stop: RunError| Exit::of(&Err::<(), _>(stop).context("while verifying").unwrap_err());
        assert_eq!(of(RunError::Client("died".into())), Exit::Fail);
        assert_eq!(of(RunError::Environment("no port".into())), Exit::Environment);
        assert_eq!(of(RunError::Interrupted), Exit::Inconclusive);
        assert_eq!(of(RunError::TimeUp), Exit::Inconclusive);
        assert_eq!(Exit::of(&anyhow::anyhow!("no such file")), Exit::Environment);
    }
}
