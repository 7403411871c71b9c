//! What a machine must allow, so that nothing that it lacks is taken for the client's fault.

use std::fs::File;
use std::io::{Error, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::RunError;
use crate::output::console::shown_path;

/// Descriptors that the harness and a client need: a client inherits the limit.
const MIN_DESCRIPTORS: u64 = 128;

/// The longest file that a run writes: a report with its screenshot, a log, the evidence.
const MIN_FILE_BYTES: u64 = 64 << 20;

/// Room that a run's directory must have for the next report.
const MIN_ROOM_BYTES: usize = 4 << 20;

/// Raises the limit of descriptors and refuses limits (ulimit) that would fail a right client.
pub(crate) fn prepare_limits() -> Result<(), RunError> {
    raise_descriptor_limit();
    let limits = |resource| getrlimit(resource).current;
    too_low(limits(Resource::Nofile), limits(Resource::Fsize))
        .map_or(Ok(()), |why| Err(RunError::Environment(why)))
}

/// Which of the limits is too low; `None` is no limit.
fn too_low(descriptors: Option<u64>, file_bytes: Option<u64>) -> Option<String> {
    match (descriptors, file_bytes) {
        (Some(limit @ ..MIN_DESCRIPTORS), _) => Some(format!(
            "the descriptor limit (ulimit -n {limit}) is too low: a run needs {MIN_DESCRIPTORS}, and the client inherits it"
        )),
        (_, Some(limit @ ..MIN_FILE_BYTES)) => Some(format!(
            "the file size limit (ulimit -f) of {limit} bytes is too low: a run needs {} MiB, and the client inherits it",
            MIN_FILE_BYTES >> 20
        )),
        _ => None,
    }
}

/// Lets children open as many descriptors as the system allows, or enough: a leak that runs out of them would be less
/// well measured. A limit that cannot be raised stays.
fn raise_descriptor_limit() {
    /// On macOS more than OPEN_MAX is refused (setrlimit(2)).
    const ENOUGH: u64 = if cfg!(target_os = "macos") { 10_240 } else { 65_536 };
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    if limit.current.is_some_and(|current| current < raised) {
        let limit = Rlimit {
            current: Some(raised),
            ..limit
        };
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Refuses a run's directory that a client cannot be told, or in which the next report has no room.
pub(crate) fn check_run_dir(dir: &Path) -> Result<(), RunError> {
    // A profile's arguments are text, and so is what clients write of the path of a report.
    if dir.canonicalize().is_ok_and(|dir| dir.to_str().is_none()) {
        return Err(RunError::Environment(format!(
            "the path of {} is not UTF-8, so that no client can be told to file its reports there: name another with --out",
            shown_path(dir)
        )));
    }
    check_room(dir)
}

/// Refuses a directory in which the next report has no room.
fn check_room(dir: &Path) -> Result<(), RunError> {
    let zeros = vec![0; MIN_ROOM_BYTES];
    let tried = tempfile::tempfile_in(dir).and_then(|mut file: File| file.write_all(&zeros));
    tried.map_err(|error| {
        RunError::Environment(format!(
            "{} in {}: a run needs room for {} MiB",
            no_room(&error),
            shown_path(dir),
            MIN_ROOM_BYTES >> 20
        ))
    })
}

fn no_room(error: &Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC) => "no space left on device".to_owned(),
        Some(Errno::DQUOT) => "the disk quota is exceeded".to_owned(),
        _ => error.to_string(),
    }
}

/// A client that failed where its reports have no room is not at fault.
pub(crate) fn blame(error: anyhow::Error, dir: &Path) -> anyhow::Error {
    match (error.downcast_ref(), check_room(dir)) {
        (Some(RunError::Client(what)), Err(cause)) => {
            RunError::Environment(format!("{cause}; {what}")).into()
        }
        _ => error,
    }
}

/// Refuses a machine without a loopback interface: the server of a session listens there.
pub(super) fn check_loopback() -> Result<(), RunError> {
    let connect = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        TcpStream::connect(listener.local_addr()?).map(drop)
    };
    connect().map_err(|error| {
        RunError::Environment(format!(
            "127.0.0.1 cannot be reached: {error}; the loopback interface must be up (`ip link set lo up`)"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_would_fail_a_right_client_are_named() {
        assert_eq!(too_low(Some(MIN_DESCRIPTORS), Some(MIN_FILE_BYTES)), None);
        assert_eq!(too_low(None, None), None);
        let few = too_low(Some(64), None).expect("too low");
        assert!(few.contains("descriptor limit (ulimit -n 64)"), "{few}");
        let short = too_low(None, Some(8192)).expect("too low");
        assert!(
            short.contains("file size limit (ulimit -f) of 8192 bytes"),
            "{short}"
        );
    }

    #[test]
    fn client_is_at_fault_only_where_its_reports_have_room() {
        let dir = tempfile::tempdir().expect("a directory");
        let client = || anyhow::Error::from(RunError::Client("no report".to_owned()));
        let blamed = |dir: &Path, error| blame(error, dir).downcast::<RunError>().expect("a run's");
        assert!(matches!(blamed(dir.path(), client()), RunError::Client(_)));
        let RunError::Environment(cause) = blamed(&dir.path().join("gone"), client()) else {
            panic!("the directory is at fault")
        };
        assert!(
            cause.contains("gone") && cause.ends_with("; no report"),
            "{cause}"
        );
        let interrupted = RunError::Interrupted.into();
        assert!(matches!(
            blamed(&dir.path().join("gone"), interrupted),
            RunError::Interrupted
        ));
        assert_eq!(no_room(&Errno::NOSPC.into()), "no space left on device");
    }

    #[test]
    fn loopback_of_this_machine_is_up() {
        check_loopback().expect("up");
    }
}
