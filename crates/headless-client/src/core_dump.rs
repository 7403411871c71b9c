//! No core dumps of a process whose memory holds a password.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Forbids them to this process and its children, for good.
///
/// One byte, rather than none, where the limit was not lower: the kernel hands dumps to a collector (systemd-coredump,
/// apport) whatever the limit, unless it is one byte (`do_coredump`, Linux's fs/coredump.c); and a file of one byte it
/// does not write (`min_coredump` there; `coredump`, XNU's bsd/kern/kern_core.c).
pub(crate) fn forbid() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    let limit = hard.min(1);
    Ok(setrlimit(Resource::RLIMIT_CORE, limit, limit)?)
}
