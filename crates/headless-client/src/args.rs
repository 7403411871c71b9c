//! The command line.

use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use clap::Parser;

use crate::target::Target;
use crate::vv;

/// The longest path of a Unix socket: macOS's `sun_path` has 104 bytes, the last of them NUL (`unix(4)`).
/// Linux has four more, which are not used, so that what works here works there.
const MAX_SOCKET_PATH_BYTES: usize = 103;

/// The fewest workers by default. A desktop client has ten threads or more, and what is proved about its
/// reports must hold for that many; on a machine of two cores Tokio alone would start two.
const MIN_DEFAULT_WORKERS: usize = 8;

/// Hold a SPICE session without a screen, and file bug reports about it
///
/// The client connects, keeps the session's surfaces in memory as a desktop client would, and waits for
/// requests on its control socket: newline-delimited JSON, `hello` first.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    /// Which server to connect to.
    #[command(flatten)]
    pub server: Server,

    /// Answer requests on a Unix socket here (at most 103 bytes; only this user may connect)
    #[arg(long, value_name = "PATH", value_parser = parse_socket_path)]
    pub control_socket: Option<PathBuf>,

    /// Write bug reports into this directory, which is made when it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub bug_report_dir: PathBuf,

    /// What brings reports about beside requests.
    #[command(flatten)]
    pub automatic: Automatic,

    /// End when standard input does: a parent that holds the other end of a pipe never leaves this process
    /// behind
    #[arg(long)]
    pub exit_on_stdin_eof: bool,

    /// Worker threads [default: one a core, but at least 8: reports of a client with as many threads as a
    /// desktop client has are what there is to prove]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,

    /// Say more on standard error: -v what happens, -vv every draw
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Reports that come by themselves.
#[derive(Debug, clap::Args)]
pub struct Automatic {
    /// File a report of each distinct protocol gap when it is first met: something that the server sends and this
    /// client does not know. At most 50 a session
    #[arg(long)]
    pub pedantic: bool,

    /// Write the reports of protocol gaps into this directory instead, which is made when it is not there
    #[arg(long, value_name = "DIR", requires = "pedantic")]
    pub pedantic_dir: Option<PathBuf>,

    /// File a report every so many seconds while the session lasts, from its first surface on
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub auto_snapshot_interval: Option<u32>,

    /// Keep so many of them, the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..),
          requires = "auto_snapshot_interval")]
    pub auto_snapshot_cap: u16,
}

/// Which server to connect to: one of two ways to say it.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Server {
    /// Connect to this server, which asks for no password; IPv6 as [::1]:5900
    #[arg(long, value_name = "HOST:PORT")]
    direct: Option<Target>,

    /// Connect to the server in this virt-viewer file, the one place for a password
    #[arg(long, value_name = "X.vv")]
    file: Option<PathBuf>,
}

const EXAMPLES: &str = r#"Examples:
  headless-client --direct 127.0.0.1:5900 --control-socket /tmp/c.sock --bug-report-dir reports
  headless-client --file session.vv --control-socket /tmp/c.sock
  headless-client --direct 127.0.0.1:5900 --pedantic --auto-snapshot-interval 60

Reports: bug_report on the control socket, and SIGUSR1, ask for one; --pedantic and --auto-snapshot-interval bring
more; the last one is that of the session's loss.

A virt-viewer file:
  [virt-viewer]
  type=spice
  host=127.0.0.1
  port=5900
  password=…

Requests (one a line; each is answered in its turn, open a second connection for what must not wait):
  {"id": 1, "method": "hello", "params": {"client_name": "me", "protocol_version": "1.0"}}
  {"id": 2, "method": "status", "params": {"await_surface_ms": 10000}}
  {"id": 3, "method": "sample", "params": {"count": 1000, "window_ms": 0}}
  {"id": 4, "method": "bug_report", "params": {"window_ms": 2000, "description": "it froze"}}
  {"id": 5, "method": "quit"}

Exit codes:
  0  asked to end: quit, SIGINT, SIGTERM, or the end of standard input
  1  the session was lost
  2  usage or environment: bad arguments, no connection, password refused, unusable socket or directory"#;

impl Server {
    /// Whether the password may come along: then this process's memory is nobody's business.
    #[must_use]
    pub fn may_have_a_password(&self) -> bool {
        self.file.is_some()
    }

    /// The server that was asked for, read from the file where there is one.
    ///
    /// # Errors
    ///
    /// When the file cannot be used.
    pub fn target(&self) -> Result<Target, vv::ReadError> {
        match (&self.direct, &self.file) {
            (Some(target), _) => Ok(target.clone()),
            (None, Some(path)) => vv::read(path),
            (None, None) => unreachable!("clap requires one of the two"),
        }
    }
}

impl Args {
    /// How many worker threads to start.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        self.workers.map_or_else(
            || {
                available_parallelism()
                    .map_or(1, NonZeroUsize::get)
                    .max(MIN_DEFAULT_WORKERS)
            },
            usize::from,
        )
    }
}

fn parse_socket_path(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    match path.as_os_str().as_bytes().len() {
        0 => Err("it is empty".to_owned()),
        length if length > MAX_SOCKET_PATH_BYTES => Err(format!(
            "it has {length} bytes, and the path of a socket has at most {MAX_SOCKET_PATH_BYTES}: choose a \
             shorter directory, such as one made by mktemp -d"
        )),
        _ => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["headless-client"], arguments].concat())
    }

    #[test]
    fn the_command_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn exactly_one_server_must_be_named() {
        let direct = parse(&["--direct", "[::1]:5900"]).unwrap();
        assert_eq!(direct.server.target().unwrap().to_string(), "[::1]:5900");
        assert_eq!(parse(&[]).unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        let both = parse(&["--direct", "h:1", "--file", "x.vv"]).unwrap_err();
        assert_eq!(both.kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn impossible_values_are_usage_errors() {
        let long = format!("/tmp/{}", "x".repeat(99));
        assert_eq!(long.len(), 104);
        for (arguments, explanation) in [
            (vec!["--direct", "::1:5900"], "brackets"),
            (vec!["--direct", "h:1", "--control-socket", &long], "104 bytes"),
            (vec!["--direct", "h:1", "--control-socket", ""], "empty"),
            (vec!["--direct", "h:1", "--workers", "0"], "1..=1024"),
            (vec!["--direct", "h:1", "--auto-snapshot-interval", "0"], "1.."),
            (
                vec!["--direct", "h:1", "--auto-snapshot-cap", "5"],
                "--auto-snapshot-interval",
            ),
            (vec!["--direct", "h:1", "--pedantic-dir", "x"], "--pedantic"),
        ] {
            let error = parse(&arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(explanation), "{error}");
        }
        assert!(parse(&["--direct", "h:1", "--control-socket", &long[..103]]).is_ok());
    }

    #[test]
    fn there_are_eight_workers_at_least_unless_fewer_are_asked_for() {
        assert!(parse(&["--direct", "h:1"]).unwrap().worker_threads() >= 8);
        assert_eq!(
            parse(&["--direct", "h:1", "--workers", "2"])
                .unwrap()
                .worker_threads(),
            2
        );
    }
}
