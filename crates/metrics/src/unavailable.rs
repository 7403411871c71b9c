//! Platforms without a backend.

use crate::snapshot::Snapshot;

pub(crate) fn snapshot() -> Result<Snapshot, String> {
    Err(format!(
        "no backend for this platform ({}); supported: linux, macos",
        std::env::consts::OS
    ))
}
