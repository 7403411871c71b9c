//! The command line of the synthetic SPICE server. [`Args`] serve a program of their own and a subcommand of another.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use clap::builder::TypedValueParser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWriteExt, Stdout};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::control::{self, Answer};
use crate::{Config, DrawRate, Event, LineReader, Password, Proxy, Server, Source, SurfaceSize};

/// The last events must be written within this time, because their reader may be gone.
const LAST_EVENTS_TIMEOUT: Duration = Duration::from_secs(1);

/// A synthetic SPICE server that idles, or draws at any rate asked; or a proxy in front of a real one.
///
/// It listens on 127.0.0.1 and shows one surface to one client at a time; a second client takes over, as with QEMU. With
/// --upstream it passes every byte on to another server instead. Either sends a message that no client knows when asked.
/// Standard input takes requests and standard output gives answers and events, one JSON object a line; logs go to
/// standard error. It ends at the end of its standard input, on the request `quit`, and on SIGTERM and SIGINT.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE)]
pub struct Args {
    /// TCP port to listen on; 0 takes a fresh one, which the first event tells
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Pass everything on to this server instead of drawing; passwords go through as they come
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port,
          conflicts_with_all = ["password_file", "width", "height", "draws_per_second"])]
    upstream: Option<String>,

    /// File that holds the password clients must show, and nothing else; without it every client is let in
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// Width of the surface, in pixels
    #[arg(long, default_value_t = SurfaceSize::default().width())]
    width: u32,

    /// Height of the surface, in pixels
    #[arg(long, default_value_t = SurfaceSize::default().height())]
    height: u32,

    /// Draws per second from the start, 0 (idle) to 100000
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = clap::value_parser!(u32).try_map(DrawRate::try_from))]
    draws_per_second: DrawRate,

    /// Log more: -v what happens, -vv details (RUST_LOG overrides)
    #[arg(short, action = clap::ArgAction::Count)]
    verbose: u8,
}

const EXAMPLE: &str = r#"Requests:
  {"id":1,"method":"set_rate","params":{"draws_per_second":500}}
  {"id":2,"method":"gap","params":{"channel":"display"}}
  {"id":3,"method":"stats"}
  {"id":4,"method":"quit"}

Events:
  {"event":"listening","port":40123}
  {"event":"session_started","session":1}
  {"event":"session_ended","session":1,"reason":"client disconnected"}
  {"event":"refused","reason":"wrong password"}

Try it, with any SPICE client (Ctrl-D ends it):
  spice-source --port 5930 --draws-per-second 60
  remote-viewer spice://127.0.0.1:5930

Exit codes: 0 ended as asked, 1 standard input or output failed, 2 could not start (usage, password file, busy port)."#;

/// Serves until it is asked to end.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    start_logging(args.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(2, &anyhow::Error::new(error).context("cannot start the runtime")),
    };
    let code = runtime.block_on(async {
        match start(args).await {
            Ok((server, signals)) => serve(server, signals)
                .await
                .map_or_else(|error| fail(1, &error), |()| ExitCode::SUCCESS),
            Err(error) => fail(2, &error),
        }
    });
    // A read of standard input cannot be cancelled, and must not be waited for.
    runtime.shutdown_background();
    code
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "spice-source: {error:#}");
    ExitCode::from(code)
}

fn start_logging(verbose: u8) {
    let level = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("spice_source={level}")));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

/// Every step that fails where the command line is wrong or the machine is busy.
async fn start(args: Args) -> anyhow::Result<(Server, EndSignals)> {
    // First, because the event that tells the port invites signals.
    let signals = EndSignals::listen().context("cannot listen for signals")?;
    let server = match args.upstream {
        Some(upstream) => Server::Proxy(Proxy::bind(args.port, upstream).await?),
        None => Server::Source(start_source(args).await?),
    };
    Ok((server, signals))
}

async fn start_source(args: Args) -> anyhow::Result<Source> {
    if args.password_file.is_some() {
        forbid_core_dumps().context("cannot forbid core dumps, which would show the password")?;
    }
    let password = args
        .password_file
        .map(|path| Password::from_file(&path).with_context(|| format!("--password-file {}", path.display())))
        .transpose()?;
    let surface = SurfaceSize::new(args.width, args.height).context("--width, --height")?;
    let config = Config {
        port: args.port,
        password,
        surface,
        rate: args.draws_per_second,
        ..Config::default()
    };
    Ok(Source::bind(config).await?)
}

/// One byte, rather than none, where the limit was not lower: Linux hands dumps to a collector (systemd-coredump,
/// apport) whatever the limit, unless it is one byte (`do_coredump`, fs/coredump.c).
fn forbid_core_dumps() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    let limit = hard.min(1);
    setrlimit(Resource::RLIMIT_CORE, limit, limit)
}

/// Whether a name resolves is found out when somebody connects.
fn host_and_port(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse::<u16>()));
    match port {
        Some((host, Ok(1..))) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err("write it as HOST:PORT, such as 127.0.0.1:5900".to_owned()),
    }
}

async fn serve(mut server: Server, mut signals: EndSignals) -> anyhow::Result<()> {
    let mut stdout = tokio::io::stdout();
    let requests = LineReader::new(tokio::io::stdin());
    let outcome = tokio::select! {
        outcome = answer_requests(requests, &mut stdout, &mut server) => outcome,
        () = signals.received() => Ok(()),
    };
    server.shutdown().await;
    let last_events = async {
        while let Some(event) = server.next_event().await {
            write_event(&mut stdout, &event).await?;
        }
        anyhow::Ok(())
    };
    let written = tokio::time::timeout(LAST_EVENTS_TIMEOUT, last_events).await;
    outcome.and(written.unwrap_or(Ok(())))
}

/// Answers requests and writes events until one side ends it.
async fn answer_requests<R: AsyncRead + Unpin>(
    mut requests: LineReader<R>,
    stdout: &mut Stdout,
    server: &mut Server,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            event = server.next_event() => match event {
                Some(event) => write_event(stdout, &event).await?,
                None => return Ok(()),
            },
            line = requests.next_line() => {
                let Some(line) = line.context("cannot read standard input")? else { return Ok(()) };
                let Answer { json, quit } = control::answer(&line, server);
                write_line(stdout, json).await?;
                if quit {
                    return Ok(());
                }
            }
        }
    }
}

async fn write_event(stdout: &mut Stdout, event: &Event) -> anyhow::Result<()> {
    write_line(stdout, serde_json::to_string(event)?).await
}

async fn write_line(stdout: &mut Stdout, mut line: String) -> anyhow::Result<()> {
    line.push('\n');
    let written = async {
        stdout.write_all(line.as_bytes()).await?;
        stdout.flush().await
    };
    written.await.context("cannot write to standard output")
}

/// The signals that ask for an end.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
