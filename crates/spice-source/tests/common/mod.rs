//! A real client, and the raw side of one, for the tests.
#![allow(dead_code, unreachable_pub, missing_docs)] // Each test binary uses its own part of it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shakenfist_spice_protocol::link::H264Offer;
use shakenfist_spice_protocol::messages::{ReceiveBuffer, ReceivedMessage, WireType, make_message};
use shakenfist_spice_protocol::{ChannelType, ConnectionConfig, SpiceClient, link::SpiceStream};
use shakenfist_spice_renderer::channels::VolumeControl;
use shakenfist_spice_renderer::{
    ByteCounter, ChannelEvent, ChannelSnapshots, DrawOutcome, InputEvent, LogConfig, SessionState,
    SurfaceMirror, TrafficSink, run_connection,
};
use spice_source::{Config, DrawRate, Event, Source};
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// Long enough for a busy machine; a test that waits as long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Waits for a state that no event tells of.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, poll).await;
}

pub fn rate(draws_per_second: u32) -> DrawRate {
    DrawRate::try_from(draws_per_second).unwrap()
}

pub async fn bind(config: Config) -> Source {
    let mut source = Source::bind(config).await.unwrap();
    assert_eq!(
        next_event(&mut source).await,
        Event::Listening { port: source.port() }
    );
    source
}

pub async fn next_event(source: &mut Source) -> Event {
    within("an event", source.next_event())
        .await
        .expect("the source still runs")
}

pub async fn assert_started(source: &mut Source, session: u32) {
    assert_eq!(next_event(source).await, Event::SessionStarted { session });
}

pub async fn assert_ended(source: &mut Source, session: u32, part_of_reason: &str) {
    match next_event(source).await {
        Event::SessionEnded {
            session: ended,
            reason,
        } if ended == session => {
            assert!(reason.contains(part_of_reason), "{reason}");
        }
        other => panic!("session {session} should have ended, but: {other:?}"),
    }
}

pub async fn assert_refused(source: &mut Source, part_of_reason: &str) {
    match next_event(source).await {
        Event::Refused { reason } => assert!(reason.contains(part_of_reason), "{reason}"),
        other => panic!("a connection should have been refused, but: {other:?}"),
    }
}

fn connection(port: u16, password: Option<&str>) -> ConnectionConfig {
    ConnectionConfig {
        host: "127.0.0.1".into(),
        port,
        password: password.map(Into::into),
        ..Default::default()
    }
}

/// The client that people use, without its window.
pub struct Client {
    pub mirror: SurfaceMirror,
    pub inputs: mpsc::Sender<InputEvent>,
    events: mpsc::Receiver<ChannelEvent>,
    cancel: Arc<AtomicBool>,
    session: JoinHandle<anyhow::Result<()>>,
    _unused_senders: Box<dyn std::any::Any + Send>,
}

impl Client {
    pub fn connect(port: u16, password: Option<&str>) -> Self {
        let (event_tx, events) = mpsc::channel(1024);
        let (inputs, input_rx) = mpsc::channel(16);
        let (usb, usb_rx) = mpsc::channel(1);
        let (webdav, webdav_rx) = mpsc::channel(1);
        let (resize, resize_rx) = mpsc::channel(1);
        let cancel = Arc::new(AtomicBool::new(false));
        let session = tokio::spawn(run_connection(
            connection(port, password),
            event_tx,
            SessionState::new(),
            Arc::new(Notify::new()),
            input_rx,
            usb_rx,
            webdav_rx,
            Vec::new(),
            None,
            None,
            Arc::new(ByteCounter::new()),
            Arc::new(NoTraffic),
            ChannelSnapshots::new(),
            1,
            resize_rx,
            VolumeControl::new(),
            false,
            LogConfig::default(),
            Arc::clone(&cancel),
            None,
            None,
            H264Offer::Off,
            1 << 20,
            1 << 20,
            1,
        ));
        let mirror = SurfaceMirror::new();
        Self {
            mirror,
            inputs,
            events,
            cancel,
            session,
            _unused_senders: Box::new((usb, webdav, resize)),
        }
    }

    /// Follows the session until `is_it` says so; `false` if the session is over first.
    pub async fn until(&mut self, mut is_it: impl FnMut(&ChannelEvent, DrawOutcome) -> bool) -> bool {
        let follow = async {
            while let Some(event) = self.events.recv().await {
                let outcome = self.mirror.apply_event(&event);
                if is_it(&event, outcome) {
                    return true;
                }
            }
            false
        };
        within("the client's session", follow).await
    }

    pub async fn surface(&mut self) -> (u32, u32) {
        let mut size = None;
        let created = |_: &ChannelEvent, outcome| {
            if let DrawOutcome::Created { width, height, .. } = outcome {
                size = Some((width, height));
            }
            size.is_some()
        };
        assert!(self.until(created).await, "the session ended without a surface");
        size.unwrap()
    }

    pub async fn draw(&mut self) {
        let drawn = |_: &ChannelEvent, outcome| matches!(outcome, DrawOutcome::Drawn { .. });
        assert!(self.until(drawn).await, "the session ended without a draw");
    }

    pub fn pixels(&self) -> &[u8] {
        self.mirror.surfaces[&(0, 0)].pixels()
    }

    /// How the session ended, once the server has ended it.
    pub async fn ended(mut self) -> anyhow::Result<()> {
        self.until(|_, _| false).await;
        within("the end of the client", self.session).await.unwrap()
    }

    pub async fn close(self) {
        self.cancel.store(true, Ordering::Relaxed);
        let _ = self.ended().await;
    }
}

struct NoTraffic;

impl TrafficSink for NoTraffic {
    fn record_sent(&self, _: &'static str, _: u16, _: &'static str, _: &[u8]) {}
    fn record_received(&self, _: &'static str, _: u16, _: &'static str, _: &[u8]) {}
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// One channel, by hand, past the ticket check.
pub struct RawChannel {
    pub stream: SpiceStream,
    buffer: ReceiveBuffer,
}

impl RawChannel {
    pub async fn link(
        port: u16,
        session: u32,
        channel: ChannelType,
        password: Option<&str>,
    ) -> anyhow::Result<Self> {
        let client = SpiceClient::new(connection(port, password))?;
        let stream = within("a link", client.connect_channel(session, channel, 0)).await?;
        Ok(Self {
            stream,
            buffer: ReceiveBuffer::new(),
        })
    }

    pub async fn send(&mut self, opcode: u16, body: &impl WireType) {
        let mut bytes = Vec::new();
        body.write(&mut bytes);
        self.stream
            .write_all(&make_message(opcode, &bytes))
            .await
            .unwrap();
    }

    pub async fn send_empty(&mut self, opcode: u16) {
        self.stream.write_all(&make_message(opcode, &[])).await.unwrap();
    }

    /// The next message, or `None` at the end of the connection.
    pub async fn receive(&mut self) -> Option<ReceivedMessage> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            if let Some(message) = self.buffer.take_message(1 << 20).unwrap() {
                return Some(message);
            }
            let count = within("a message", self.stream.read(&mut chunk))
                .await
                .unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }

    /// Skips to the next message with this opcode.
    pub async fn receive_opcode(&mut self, opcode: u16) -> ReceivedMessage {
        loop {
            let message = self
                .receive()
                .await
                .unwrap_or_else(|| panic!("closed before a message {opcode} came"));
            if message.header.message_type == opcode {
                return message;
            }
        }
    }
}
