//! Holding a session: the renderer's connection, and the draining of its events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use shakenfist_spice_protocol::constants::image_compression;
use shakenfist_spice_protocol::link::H264Offer;
use shakenfist_spice_renderer::channels::VolumeControl;
use shakenfist_spice_renderer::session::{INPUT_CHANNEL_SIZE, run_connection};
use shakenfist_spice_renderer::{
    ByteCounter, CancellationToken, ChannelEvent, ChannelSnapshots, LogConfig, SessionState, TrafficSink,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::session::Session;
use crate::target::Target;

/// Decoded images that are kept for the server to refer to: more than the 20 Mi pixels that the renderer
/// offers it.
const IMAGE_CACHE_BYTES: usize = 128 << 20;
/// Recent images that GLZ compression refers to: more than the 3 Mi pixels that the renderer offers the
/// server.
const GLZ_DICTIONARY_BYTES: usize = 64 << 20;
/// Events that may wait to be drained. One may hold a decoded image, which a few bytes can make 256 MiB large (the renderer's
/// bound); the channels that draw wait meanwhile.
const MAX_QUEUED_EVENTS: usize = 4;
/// Time that a connection may take to shut down. The renderer looks at its cancel flag ten times a second, and
/// not at all while it connects.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(400);

/// The reason why a session never began or was lost.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The server did not take the password, or wants one.
    #[error(
        "{target} refused the password: put the right one into a virt-viewer file ([virt-viewer] type=spice \
         host= port= password=) and name it with --file; --direct sends none"
    )]
    PasswordRefused {
        /// The server.
        target: Target,
    },
    /// There never was a session.
    #[error("cannot connect to {target}: {cause}")]
    Connect {
        /// The server.
        target: Target,
        /// The renderer's reason.
        cause: String,
    },
    /// There was a session.
    #[error("lost the session with {target}: {cause}")]
    Lost {
        /// The server.
        target: Target,
        /// The renderer's reason.
        cause: String,
    },
}

/// A connection that has not been made yet, and the session that it will keep up to date.
pub struct Connection {
    target: Target,
    renderer_state: SessionState,
    channels: ChannelSnapshots,
    session: Arc<Session>,
}

impl Connection {
    /// Prepares to connect to `target`.
    #[must_use]
    pub fn to(target: Target) -> Self {
        let renderer_state = SessionState::new();
        let channels = ChannelSnapshots::new();
        let session = Arc::new(Session::new(channels.clone(), renderer_state.subscribe()));
        Self {
            target,
            renderer_state,
            channels,
            session,
        }
    }

    /// The session's live view.
    #[must_use]
    pub fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    /// Connects and holds the session until `stop` is cancelled, which takes half a second at most.
    ///
    /// # Errors
    ///
    /// When there never is a session, or it is lost.
    pub async fn hold(self, stop: CancellationToken) -> Result<(), SessionError> {
        let Self {
            target,
            renderer_state,
            channels,
            session,
        } = self;
        let (event_tx, event_rx) = mpsc::channel(MAX_QUEUED_EVENTS);
        // Nothing is ever sent on these, but a channel of the session ends when its sender is gone.
        let (_input_tx, input_rx) = mpsc::channel(INPUT_CHANNEL_SIZE);
        let (_usb_tx, usb_rx) = mpsc::channel(1);
        let (_webdav_tx, webdav_rx) = mpsc::channel(1);
        let (_resize_tx, resize_rx) = mpsc::channel(1);
        let cancel = Arc::new(AtomicBool::new(false));

        let drain = tokio::spawn(drain(event_rx, Arc::clone(&session)));
        let mut connection = tokio::spawn(run_connection(
            target.connection_config(),
            event_tx,
            renderer_state,
            Arc::new(Notify::new()), // repaints: nobody looks
            input_rx,
            usb_rx,
            webdav_rx,
            Vec::new(), // virtual disks
            None,       // shared directory
            None,       // capture
            Arc::new(ByteCounter::new()),
            Arc::new(NoTraffic {
                created: Instant::now(),
            }),
            channels,
            1, // monitors
            resize_rx,
            VolumeControl::new(),
            false, // paste as keystrokes
            LogConfig::default(),
            Arc::clone(&cancel),
            None, // clipboard
            None, // audio
            H264Offer::default(),
            IMAGE_CACHE_BYTES,
            GLZ_DICTIONARY_BYTES,
            image_compression::AUTO_GLZ,
        ));

        // A session that was lost stays lost, even if somebody asks for its end before that is looked at.
        let (asked_to_stop, finished) = tokio::select! {
            biased;
            () = session.lost() => (false, None),
            joined = &mut connection => (false, Some(joined)),
            () = stop.cancelled() => (true, None),
        };
        cancel.store(true, Ordering::Relaxed);
        match finished {
            None => wind_down(connection).await,
            // What the channels told before they ended may still be queued, and says more than their end
            // does.
            Some(joined) => {
                let outcome = joined
                    .context("the session's task failed")
                    .and_then(|outcome| outcome);
                wind_down(drain).await;
                session.mark_lost(outcome.map_or_else(
                    |error| format!("{error:#}"),
                    |()| "every channel ended".to_owned(),
                ));
            }
        }
        match session.loss_reason() {
            Some(cause) if !asked_to_stop => Err(explain(target, &session, cause)),
            _ => Ok(()),
        }
    }
}

/// Waits for a task to end, and aborts it when it takes too long.
async fn wind_down<T>(mut task: JoinHandle<T>) {
    if timeout(SHUTDOWN_GRACE, &mut task).await.is_err() {
        task.abort();
    }
}

/// Takes events as they come, for a full queue would hold up the channels that draw.
async fn drain(mut events: mpsc::Receiver<ChannelEvent>, session: Arc<Session>) {
    while let Some(event) = events.recv().await {
        if let ChannelEvent::Error { channel, message } = &event {
            tracing::error!(channel = channel.name(), "{message}");
        }
        session.apply(&event);
    }
}

fn explain(target: Target, session: &Session, cause: String) -> SessionError {
    if session.was_connected() {
        SessionError::Lost { target, cause }
    // The protocol crate has no error type for this: `perform_auth` in its link.rs says it in these words.
    } else if cause.contains("Authentication failed: PermissionDenied") {
        SessionError::PasswordRefused { target }
    } else {
        SessionError::Connect { target, cause }
    }
}

/// Traffic is not recorded; the channels only want to know how long ago that began.
struct NoTraffic {
    created: Instant,
}

impl TrafficSink for NoTraffic {
    fn record_sent(&self, _channel: &'static str, _msg_type: u16, _msg_name: &'static str, _raw: &[u8]) {}

    fn record_received(&self, _channel: &'static str, _msg_type: u16, _msg_name: &'static str, _raw: &[u8]) {}

    fn elapsed(&self) -> Duration {
        self.created.elapsed()
    }
}
