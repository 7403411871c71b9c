//! The server as a whole: it listens, hands each connection to a task, and ends them all when it ends.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::channels;
use crate::config::{Config, DrawRate, SurfaceSize};
use crate::event::Event;
use crate::gap::{Channel, Gap, GapError, Gaps};
use crate::link::{self, Linked, TicketCheck};
use crate::sessions::{SessionEnd, Sessions};

/// Connections at a time, of all kinds. A session has four.
const MAX_CONNECTIONS: usize = 64;
/// How long to hold back when the system has no descriptors left for new connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running SPICE server. It ends with [`shutdown`](Self::shutdown), or when this is dropped.
pub struct Source {
    port: u16,
    server: Arc<Server>,
    events: mpsc::Receiver<Event>,
    accepting: Option<JoinHandle<()>>,
    cancel: CancellationToken,
}

/// Why a source cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("port {port} of 127.0.0.1 is in use: choose another one, or 0 for a fresh one")]
    PortInUse {
        /// The port asked for.
        port: u16,
    },
    /// The system refuses to listen there for another reason.
    #[error("cannot listen on port {port} of 127.0.0.1")]
    Listen {
        /// The port asked for.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// No key for the ticket check.
    #[error("cannot make the RSA key for the ticket check: {0}")]
    Key(String),
}

impl BindError {
    pub(crate) fn of_listening(port: u16, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { port },
            _ => Self::Listen { port, source },
        }
    }
}

/// A source's counters, since its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Sessions started.
    pub sessions: u32,
    /// Sessions now: 0 or 1.
    pub active_sessions: u32,
    /// Draws handed to the operating system, over all sessions.
    pub draws_sent: u64,
    /// The rate that is asked for, whether or not the client keeps up with it.
    pub draws_per_second: DrawRate,
    /// Keys, and pointer movements, that clients sent.
    pub input_messages: u64,
    /// The channels that clients have open.
    pub open_channels: Vec<Channel>,
    /// Protocol gaps sent.
    pub gaps_sent: u64,
    /// Connections turned away.
    pub refused: u64,
}

/// What the channels share: their orders, and their counters.
pub(crate) struct Settings {
    pub(crate) started: Instant,
    pub(crate) surface: SurfaceSize,
    pub(crate) ping_interval: Duration,
    pub(crate) silence_limit: Duration,
    pub(crate) rate: watch::Sender<DrawRate>,
    pub(crate) draws_sent: AtomicU64,
    pub(crate) input_messages: AtomicU64,
    pub(crate) gaps: Gaps,
}

struct Server {
    link_deadline: Duration,
    check: TicketCheck,
    sessions: Arc<Sessions>,
    settings: Settings,
}

impl Source {
    /// Listens, and serves from then on. Call it within a Tokio runtime that has I/O and time.
    ///
    /// # Errors
    ///
    /// [`BindError`] when the port is taken or otherwise not to be had.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let Config {
            port,
            password,
            surface,
            rate,
            link_deadline,
            ping_interval,
            silence_limit,
        } = config;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|source| BindError::of_listening(port, source))?;
        let port = listener
            .local_addr()
            .map_err(|source| BindError::Listen { port, source })?
            .port();
        let check = tokio::task::spawn_blocking(|| TicketCheck::new(password))
            .await
            .map_err(|error| BindError::Key(error.to_string()))?
            .map_err(BindError::Key)?;

        let (sessions, events) = Sessions::new();
        sessions.tell(Event::Listening { port });
        let settings = Settings {
            started: Instant::now(),
            surface,
            ping_interval,
            silence_limit,
            rate: watch::Sender::new(rate),
            draws_sent: AtomicU64::new(0),
            input_messages: AtomicU64::new(0),
            gaps: Gaps::default(),
        };
        let server = Arc::new(Server {
            link_deadline,
            check,
            sessions,
            settings,
        });
        let cancel = CancellationToken::new();
        let accepting = tokio::spawn(accept_until_cancelled(
            listener,
            Arc::clone(&server),
            cancel.clone(),
        ));
        Ok(Self {
            port,
            server,
            events,
            accepting: Some(accepting),
            cancel,
        })
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Draws at another rate from now on, in the present session and in those to come.
    pub fn set_rate(&self, rate: DrawRate) {
        self.server.settings.rate.send_replace(rate);
    }

    /// Sends a message that no client knows on a channel of the present session.
    ///
    /// # Errors
    ///
    /// When the session has not opened that channel, or the opcode may be known.
    pub fn send_gap(&self, channel: Channel, opcode: Option<u16>) -> Result<Gap, GapError> {
        self.server.settings.gaps.ask(channel, opcode)
    }

    /// The counters as they are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let settings = &self.server.settings;
        let (sessions, active_sessions, refused) = self.server.sessions.counts();
        Stats {
            sessions,
            active_sessions,
            draws_sent: settings.draws_sent.load(Ordering::Relaxed),
            draws_per_second: *settings.rate.borrow(),
            input_messages: settings.input_messages.load(Ordering::Relaxed),
            open_channels: settings.gaps.open_channels(),
            gaps_sent: settings.gaps.sent(),
            refused,
        }
    }

    /// The next event, waiting for one; `None` after the last one of a source that was shut down. Cancel-safe.
    ///
    /// The first is [`Event::Listening`]. The source does not wait for events to be taken: it keeps about a thousand,
    /// and gives up newer ones, refused connections long before sessions.
    pub async fn next_event(&mut self) -> Option<Event> {
        if self.accepting.is_none() {
            self.events.try_recv().ok()
        } else {
            self.events.recv().await
        }
    }

    /// Stops listening, closes all connections and waits until all is done. Events can still be taken afterwards.
    pub async fn shutdown(&mut self) {
        self.cancel.cancel();
        if let Some(accepting) = self.accepting.take() {
            log_panic(accepting.await);
        }
        // Only now: nothing can happen any more that would have to be told after it.
        self.server.sessions.end_any(&SessionEnd::ShuttingDown);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn accept_until_cancelled(listener: TcpListener, server: Arc<Server>, cancel: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    let served = Arc::clone(&server).serve(stream);
                    connections.spawn(cancel.clone().run_until_cancelled_owned(served));
                }
                Ok(_) => server.sessions.refuse(format!("more than {MAX_CONNECTIONS} connections at a time")),
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        log_panic(ended);
    }
}

impl Server {
    /// Serves one connection from its first byte to its last.
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        // Small messages must not wait for the client's answer to earlier ones. Without it all is slower, not wrong.
        let _ = stream.set_nodelay(true);
        let Self {
            link_deadline,
            check,
            sessions,
            settings,
        } = &*self;
        match link::accept(&mut stream, check, sessions, *link_deadline).await {
            Ok(Linked::Main) => channels::serve_main(stream, sessions.start(), sessions, settings).await,
            Ok(Linked::Side { session, channel }) => match sessions.join(session, channel) {
                Some(membership) => channels::serve_side(stream, membership, settings).await,
                None => sessions.refuse(format!(
                    "session {session} is over, or has its {channel:?} channel already"
                )),
            },
            Err(refusal) => sessions.refuse(refusal.to_string()),
        }
    }
}

/// A task that panicked took its own connection with it, and nothing else; it must not go unseen.
fn log_panic<T>(ended: Result<T, JoinError>) {
    if let Err(error) = ended {
        tracing::error!("a task failed: {error}");
    }
}
