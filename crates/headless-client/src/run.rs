//! From arguments to an exit code.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use shakenfist_spice_renderer::CancellationToken;
use tokio::net::UnixListener;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;

use crate::args::{Args, Automatic};
use crate::connection::{Connection, SessionError};
use crate::control::{BindError, ControlSocket, Methods, serve};
use crate::core_dump;
use crate::report::{ReportType, Trigger};
use crate::reporter::{DEFAULT_WINDOW, Reporter};
use crate::target::Target;
use crate::triggers::{report_at_intervals, report_gaps, report_on_signal, watch_gaps};
use crate::vv;

/// Time that blocked threads may take to end, such as one with a sample in progress. The process
/// ends with them.
const THREADS_SHUTDOWN_GRACE: Duration = Duration::from_millis(250);

/// Holds a session until it is asked to end: by `quit`, SIGINT, SIGTERM, or the end of standard input. Files reports of
/// it on the way, and one of its loss.
///
/// # Errors
///
/// When there is no session, or it is lost.
pub fn run(args: Args) -> Result<(), Failure> {
    log_to_stderr(args.verbose);
    // Before there is a password in memory.
    if args.server.may_have_a_password() {
        core_dump::forbid().map_err(Failure::system("forbid core dumps"))?;
    }
    let target = args.server.target()?;
    let dirs = ReportDirs {
        bugs: prepare_report_dir(&args.bug_report_dir)?,
        gaps: prepare_report_dir(
            args.automatic
                .pedantic_dir
                .as_deref()
                .unwrap_or(&args.bug_report_dir),
        )?,
    };
    // Before the runtime has threads, as `bind` asks.
    let socket = args
        .control_socket
        .as_deref()
        .map(ControlSocket::bind)
        .transpose()?;
    // The threads keep Tokio's names: reports of a client whose threads are named for it would prove less.
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(args.worker_threads())
        .enable_all()
        .build()
        .map_err(Failure::system("start the runtime's threads"))?;

    let outcome = runtime.block_on(hold(
        target,
        dirs,
        &args.automatic,
        socket.as_ref(),
        args.exit_on_stdin_eof,
    ));

    drop(socket);
    runtime.shutdown_timeout(THREADS_SHUTDOWN_GRACE);
    outcome
}

/// Directories of the reports; both exist.
struct ReportDirs {
    bugs: PathBuf,
    gaps: PathBuf,
}

async fn hold(
    target: Target,
    dirs: ReportDirs,
    automatic: &Automatic,
    socket: Option<&ControlSocket>,
    exit_on_stdin_eof: bool,
) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop).map_err(Failure::system("listen for signals"))?;
    if exit_on_stdin_eof {
        stop_on_stdin_eof(stop.clone()).map_err(Failure::system("start a thread"))?;
    }

    let name = target.to_string();
    let connection = Connection::to(target);
    let reporter = Arc::new(Reporter {
        session: connection.session(),
        target: name,
        dir: dirs.bugs,
        pedantic_dir: dirs.gaps,
    });
    start_triggers(&reporter, automatic).map_err(Failure::system("listen for signals"))?;
    if let Some(socket) = socket {
        let listener = socket
            .listener()
            .and_then(UnixListener::from_std)
            .map_err(Failure::system("serve the control socket"))?;
        let methods = Methods {
            session: connection.session(),
            reporter: Arc::clone(&reporter),
            extra_threads: Arc::default(),
            stop: stop.clone(),
        };
        tokio::spawn(serve(listener, Arc::new(methods)));
    }

    let outcome = connection.hold(stop.clone()).await;
    if let Err(SessionError::Lost { cause, .. }) = &outcome {
        report_loss(&reporter, cause, &stop).await;
    }
    stop.cancel(); // peers of a lost session are hung up on
    Ok(outcome?)
}

/// Each trigger is a task that ends with the runtime.
fn start_triggers(reporter: &Arc<Reporter>, automatic: &Automatic) -> io::Result<()> {
    tokio::spawn(report_on_signal(Arc::clone(reporter))?);
    let gaps = watch_gaps(&reporter.session);
    if automatic.pedantic {
        tokio::spawn(report_gaps(Arc::clone(reporter), gaps));
    }
    if let Some(seconds) = automatic.auto_snapshot_interval {
        let interval = Duration::from_secs(seconds.into());
        let kept = usize::from(automatic.auto_snapshot_cap);
        tokio::spawn(report_at_intervals(Arc::clone(reporter), interval, kept));
    }
    Ok(())
}

/// The last report of a session that is gone; whoever asks the client to end need not wait for it.
async fn report_loss(reporter: &Arc<Reporter>, cause: &str, stop: &CancellationToken) {
    let trigger = Trigger::now(ReportType::Loss, Some(cause.to_owned()));
    tokio::select! {
        // A failure has been told by the reporter.
        _ = reporter.file(trigger, DEFAULT_WINDOW) => {}
        () = stop.cancelled() => {}
    }
}

/// Signals have a task of their own, which no stream of events can hold up.
fn stop_on_signals(stop: &CancellationToken) -> io::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(())
}

/// A thread of its own: Tokio would read standard input on one of its pool's, and wait for it in the end.
fn stop_on_stdin_eof(stop: CancellationToken) -> io::Result<()> {
    let watch = move || {
        // An error is an end as well: whoever held the other side is not coming back.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stop.cancel();
    };
    thread::Builder::new()
        .name("stdin-watch".to_owned())
        .spawn(watch)
        .map(drop)
}

fn prepare_report_dir(dir: &Path) -> Result<PathBuf, Failure> {
    let prepare = || {
        fs::create_dir_all(dir)?;
        dir.canonicalize() // the answers name zips for peers that may be anywhere
    };
    prepare().map_err(|source| Failure::ReportDir {
        path: dir.to_owned(),
        source,
    })
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        // They would go to standard error by `eprintln!`, which panics once the reader is gone.
        .log_internal_errors(false)
        .init();
}

/// The reason why the client ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The connection file is of no use.
    #[error(transparent)]
    ConnectionFile(#[from] vv::ReadError),
    /// There is no control socket.
    #[error(transparent)]
    ControlSocket(#[from] BindError),
    /// There is no directory for reports.
    #[error("cannot use the bug report directory {}: {source}", path.display())]
    ReportDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refused something.
    #[error("cannot {what}: {source}")]
    System {
        /// The refused operation.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// There is no session, or none any more.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Failure {
    /// 1 when a session was lost; 2 for everything that kept one from being.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Session(SessionError::Lost { .. }) => 1,
            _ => 2,
        }
    }

    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
