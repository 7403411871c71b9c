//! Why a file is not read as a report, and who is at fault.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

use zip::result::ZipError;

/// Why no report can be had from a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the report {}", path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub source: ReadError,
}

/// Why a file is not read as a report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is not a report, was changed on its way, or exceeds a limit.
    #[error("{0}")]
    Refused(String),
    /// The client wrote a report that cannot be judged: the report is whole, and its content is wrong.
    #[error("{0}")]
    Invalid(String),
    /// It has an end, but the rest does not fit it.
    #[error("not a whole zip")]
    NotAZip(#[source] ZipError),
    /// A member cannot be found or unpacked.
    #[error("member {member} is damaged")]
    Damaged {
        /// Its name, quoted.
        member: String,
        /// The library's error.
        source: ZipError,
    },
    /// A zip inside the zip is not read.
    #[error("{zip}")]
    Nested {
        /// Its name.
        zip: String,
        /// The reason.
        source: Box<ReadError>,
    },
    /// The file itself cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ReadError {
    /// True if the client that wrote the report is at fault, rather than the file.
    #[must_use]
    pub fn is_clients_fault(&self) -> bool {
        match self {
            Self::Invalid(_) => true,
            Self::Nested { source, .. } => source.is_clients_fault(),
            _ => false,
        }
    }

    pub(crate) fn damaged(member: &str, source: impl Into<ZipError>) -> Self {
        Self::Damaged {
            member: quoted(member),
            source: source.into(),
        }
    }
}

/// Refuses the file in these words unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::ReadError::Refused(format!($($words)+)));
        }
    };
}
pub(crate) use ensure;

/// A name for a message: escaped, and of a length that fits a line.
pub(crate) fn quoted(name: &str) -> String {
    const MAX_CHARS: usize = 100;
    match name.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}
