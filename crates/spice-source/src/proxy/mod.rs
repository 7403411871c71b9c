//! A proxy in front of a real server: it passes everything on byte for byte, and puts a protocol gap between two
//! messages when asked to.

mod acks;
mod framing;
mod link;
mod relay;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::event::Event;
use crate::gap::{Channel, Gap, GapError, Gaps};
use crate::source::BindError;
use link::{Linked, Request};
use relay::Passed;

/// Connections at a time, of all kinds. A session has up to a dozen.
const MAX_CONNECTIONS: usize = 256;
/// How long a client and its server may take for the link phase.
const LINK: Duration = Duration::from_secs(10);
/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long to hold back when the system has no descriptors left for new connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How many events wait for a reader at most; later ones are lost.
const EVENT_BACKLOG: usize = 1024;

/// A running proxy. It ends with [`shutdown`](Self::shutdown), or when this is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    events: mpsc::Receiver<Event>,
    accepting: Option<JoinHandle<()>>,
    cancel: CancellationToken,
}

/// A proxy's counters, since its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxyStats {
    /// Sessions that the server admitted.
    pub sessions: u32,
    /// Sessions now.
    pub active_sessions: u32,
    /// Bytes of messages passed on to clients, gaps not counted.
    pub bytes_to_clients: u64,
    /// Bytes of messages passed on to the server.
    pub bytes_to_server: u64,
    /// The channels that clients have open, of those that gaps can be put in.
    pub open_channels: Vec<Channel>,
    /// Gaps put in.
    pub gaps_sent: u64,
    /// Connections turned away.
    pub refused: u64,
}

struct Shared {
    upstream: String,
    gaps: Gaps,
    passed: Passed,
    sessions: AtomicU32,
    active_sessions: AtomicU32,
    refused: AtomicU64,
    events: mpsc::Sender<Event>,
}

impl Proxy {
    /// Listens on 127.0.0.1, and passes on to `upstream` (`HOST:PORT`) from then on. A port of 0 is a fresh one.
    ///
    /// # Errors
    ///
    /// [`BindError`] when the port is taken or otherwise not to be had.
    pub async fn bind(port: u16, upstream: String) -> Result<Self, BindError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|source| BindError::of_listening(port, source))?;
        let port = listener
            .local_addr()
            .map_err(|source| BindError::Listen { port, source })?
            .port();
        let (sender, events) = mpsc::channel(EVENT_BACKLOG);
        let shared = Arc::new(Shared {
            upstream,
            gaps: Gaps::default(),
            passed: Passed::default(),
            sessions: AtomicU32::new(0),
            active_sessions: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            events: sender,
        });
        shared.tell(Event::Listening { port });
        let cancel = CancellationToken::new();
        let accepting = tokio::spawn(accept_until_cancelled(
            listener,
            Arc::clone(&shared),
            cancel.clone(),
        ));
        Ok(Self {
            port,
            shared,
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

    /// Puts a message that no client knows between two messages of the newest session's channel.
    ///
    /// # Errors
    ///
    /// When no session has that channel open, or the opcode may be known.
    pub fn send_gap(&self, channel: Channel, opcode: Option<u16>) -> Result<Gap, GapError> {
        self.shared.gaps.ask(channel, opcode)
    }

    /// The counters as they are now.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        let shared = &self.shared;
        ProxyStats {
            sessions: shared.sessions.load(Ordering::Relaxed),
            active_sessions: shared.active_sessions.load(Ordering::Relaxed),
            bytes_to_clients: shared.passed.to_client.load(Ordering::Relaxed),
            bytes_to_server: shared.passed.to_server.load(Ordering::Relaxed),
            open_channels: shared.gaps.open_channels(),
            gaps_sent: shared.gaps.sent(),
            refused: shared.refused.load(Ordering::Relaxed),
        }
    }

    /// The next event, waiting for one; `None` after the last one of a proxy that was shut down. Cancel-safe.
    pub async fn next_event(&mut self) -> Option<Event> {
        if self.accepting.is_none() {
            self.events.try_recv().ok()
        } else {
            self.events.recv().await
        }
    }

    /// Stops listening, and closes all connections.
    pub async fn shutdown(&mut self) {
        self.cancel.cancel();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn accept_until_cancelled(listener: TcpListener, shared: Arc<Shared>, cancel: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!("a task failed: {error}");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((client, _)) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(Arc::clone(&shared).serve(client));
                }
                Ok(_) => shared.refuse(format!("more than {MAX_CONNECTIONS} connections at a time")),
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    connections.shutdown().await;
}

impl Shared {
    async fn serve(self: Arc<Self>, mut client: TcpStream) {
        // Small messages must not wait for the answer to earlier ones. Without it all is slower, not wrong.
        let _ = client.set_nodelay(true);
        let linked = timeout(LINK, self.link(&mut client))
            .await
            .unwrap_or_else(|_| Err(format!("no complete SPICE link within {LINK:?}")));
        let (mut server, channel, linked) = match linked {
            Ok(linked) => linked,
            Err(reason) => return self.refuse(reason),
        };
        let session =
            (channel == Some(Channel::Main) && linked != Linked::Opaque).then(|| self.start_session());
        let ended = match (linked, channel) {
            (Linked::Messages(form), Some(channel)) => {
                let mut requests = self.gaps.open(channel);
                relay::messages(&mut client, &mut server, form, &mut requests, &self.passed).await
            }
            _ => relay::opaque(&mut client, &mut server, &self.passed).await,
        };
        if let Some(session) = session {
            session.end(&ended);
        }
    }

    async fn link(&self, client: &mut TcpStream) -> Result<(TcpStream, Option<Channel>, Linked), String> {
        let request = Request::read(client).await.map_err(|error| error.to_string())?;
        let upstream = &self.upstream;
        let connecting = timeout(CONNECT, TcpStream::connect(upstream));
        let mut server = connecting
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| format!("cannot reach the server at {upstream}: {error}"))?;
        let _ = server.set_nodelay(true);
        let channel = request.channel;
        let linked = request
            .pass_on(client, &mut server)
            .await
            .map_err(|error| format!("connection lost during the link: {error}"))?;
        Ok((server, channel, linked))
    }

    fn start_session(&self) -> Session<'_> {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        self.active_sessions.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::SessionStarted { session: number });
        Session {
            number,
            shared: self,
            reason: "the proxy is shutting down".to_owned(),
        }
    }

    fn refuse(&self, reason: String) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        tracing::info!(reason, "refused a connection");
        self.tell(Event::Refused { reason });
    }

    /// The proxy does not wait for its audience.
    fn tell(&self, event: Event) {
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!("an event was lost: {error}");
        }
    }
}

/// A session whose end is told, however it ends.
struct Session<'a> {
    number: u32,
    shared: &'a Shared,
    reason: String,
}

impl Session<'_> {
    fn end(mut self, ended: &io::Result<()>) {
        self.reason = match ended {
            Ok(()) => "one side closed the connection".to_owned(),
            Err(error) => format!("connection failed: {error}"),
        };
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.shared.active_sessions.fetch_sub(1, Ordering::Relaxed);
        self.shared.tell(Event::SessionEnded {
            session: self.number,
            reason: std::mem::take(&mut self.reason),
        });
    }
}
