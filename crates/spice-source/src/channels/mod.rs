//! The channels of a session, one module each. Every one of them is a task of its own that ends when its client
//! closes the connection, when the session ends, or when the client misbehaves.

mod ack_window;
mod cursor;
mod display;
mod inputs;
mod main;
mod pacer;
mod painter;

use std::io;

use shakenfist_spice_protocol::ChannelType;
use tokio::io::AsyncRead;
use tokio::net::TcpStream;

use crate::sessions::{Membership, SessionEnd, SessionHandle, Sessions};
use crate::source::Settings;
use crate::wire::MessageReader;

/// The channels that a session has beside its main channel. Each has id 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SideChannel {
    Display,
    Inputs,
    Cursor,
}

impl SideChannel {
    pub(crate) const ALL: [Self; 3] = [Self::Display, Self::Inputs, Self::Cursor];

    /// The type by which the protocol knows it.
    pub(crate) fn channel_type(self) -> ChannelType {
        match self {
            Self::Display => ChannelType::Display,
            Self::Inputs => ChannelType::Inputs,
            Self::Cursor => ChannelType::Cursor,
        }
    }
}

/// Serves a new session's main channel, and ends the session with it.
pub(crate) async fn serve_main(
    stream: TcpStream,
    session: SessionHandle,
    sessions: &Sessions,
    settings: &Settings,
) {
    tokio::select! {
        () = session.cancel.cancelled() => {} // Whoever ended the session has told why.
        end = main::serve(stream, session.number, settings) => sessions.end(session.number, &end),
    }
}

/// Serves another channel. The session outlives it: a client may open it again.
pub(crate) async fn serve_side(stream: TcpStream, membership: Membership, settings: &Settings) {
    let channel = membership.channel;
    let served = async {
        match channel {
            SideChannel::Display => display::serve(stream, settings).await,
            SideChannel::Inputs => inputs::serve(stream, settings).await,
            SideChannel::Cursor => cursor::serve(stream, settings).await,
        }
    };
    tokio::select! {
        () = membership.session.cancel.cancelled() => {}
        outcome = served => tracing::info!(session = membership.session.number, ?channel, ?outcome, "channel closed"),
    }
}

/// Reads and drops what the client sends until it closes the connection.
async fn drain(mut reader: MessageReader<impl AsyncRead + Unpin>) -> io::Result<()> {
    while reader.next().await?.is_some() {}
    Ok(())
}

impl From<io::Result<()>> for SessionEnd {
    fn from(outcome: io::Result<()>) -> Self {
        match outcome {
            Ok(()) => Self::ClientGone,
            // A client that is killed, or that closes with our messages unread, resets the connection.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                ) =>
            {
                Self::ClientGone
            }
            Err(error) => Self::Broken(error.to_string()),
        }
    }
}
