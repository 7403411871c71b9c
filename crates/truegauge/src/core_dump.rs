//! No core dumps of a run whose memory holds a password.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Forbids them to this process and all that it starts, for good.
///
/// One byte, rather than none, where the limit was not lower: Linux hands dumps to a collector (systemd-coredump,
/// apport) whatever the limit, unless it is one byte (`do_coredump`, fs/coredump.c).
pub(crate) fn forbid() -> Result<()> {
    let hard = getrlimit(Resource::Core).maximum;
    let limit = Some(hard.map_or(1, |hard| hard.min(1)));
    let limits = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Core, limits).context("cannot forbid core dumps, which would show the password")
}
