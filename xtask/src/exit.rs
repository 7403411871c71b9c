//! Exit codes, the same as the product's.

use std::process::{ExitCode, ExitStatus};

/// A command's result. An error is [`Exit::Environment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Pass = 0,
    Fail = 1,
    Environment = 2,
    Inconclusive = 3,
}

impl Exit {
    /// Pass, or fail.
    pub(crate) fn passed(passed: bool) -> Self {
        if passed { Self::Pass } else { Self::Fail }
    }
}

/// A child with the same exit codes has chosen. A signal, or a code of another kind, says nothing of what is judged.
impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::Pass,
            Some(1) => Self::Fail,
            Some(3) => Self::Inconclusive,
            _ => Self::Environment,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
