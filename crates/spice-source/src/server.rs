//! What the program runs: the synthetic source, or the proxy in front of a real server.

use serde_json::{Value, json};

use crate::config::DrawRate;
use crate::event::Event;
use crate::gap::{Channel, Gap, GapError};
use crate::proxy::Proxy;
use crate::source::Source;

/// One of the two.
pub enum Server {
    /// Draws by itself.
    Source(Source),
    /// Passes on what another server draws.
    Proxy(Proxy),
}

impl Server {
    /// Draws at another rate; `false` for a proxy, which draws nothing.
    #[must_use]
    pub fn set_rate(&self, rate: DrawRate) -> bool {
        match self {
            Self::Source(source) => {
                source.set_rate(rate);
                true
            }
            Self::Proxy(_) => false,
        }
    }

    /// Sends a message that no client knows on a channel of the session that there is.
    ///
    /// # Errors
    ///
    /// When no session has that channel open, or the opcode may be known.
    pub fn send_gap(&self, channel: Channel, opcode: Option<u16>) -> Result<Gap, GapError> {
        match self {
            Self::Source(source) => source.send_gap(channel, opcode),
            Self::Proxy(proxy) => proxy.send_gap(channel, opcode),
        }
    }

    /// The counters as they are now, each server's own.
    #[must_use]
    pub fn stats(&self) -> Value {
        match self {
            Self::Source(source) => json!(source.stats()),
            Self::Proxy(proxy) => json!(proxy.stats()),
        }
    }

    /// The next event, waiting for one; `None` after the last one of a server that was shut down. Cancel-safe.
    pub async fn next_event(&mut self) -> Option<Event> {
        match self {
            Self::Source(source) => source.next_event().await,
            Self::Proxy(proxy) => proxy.next_event().await,
        }
    }

    /// Stops listening, and closes all connections. Events can still be taken afterwards.
    pub async fn shutdown(&mut self) {
        match self {
            Self::Source(source) => source.shutdown().await,
            Self::Proxy(proxy) => proxy.shutdown().await,
        }
    }
}
