//! What people see: steps as they run, the table of checks, the files beside it.

pub(crate) mod files;
pub(crate) mod steps;
pub(crate) mod table;

use anstream::eprintln;
use anstyle::{AnsiColor, Style};

pub(crate) const FAILED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DIMMED: Style = Style::new().dimmed();

/// An error and its causes, on standard error.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("{FAILED}error:{FAILED:#} {error:#}");
}
