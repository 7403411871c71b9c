//! Exit codes that scripts can trust, and the errors that choose them.

use std::fmt;
use std::process::ExitCode;

use report_reader::Faulty;

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

/// A report that is at fault is the client's fault.
impl From<Faulty> for RunError {
    fn from(fault: Faulty) -> Self {
        Self::Client(fault.to_string())
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
