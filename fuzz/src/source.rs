//! A hostile client, and the source.

use std::time::Duration;

use shakenfist_spice_protocol::link::{SpiceLinkMess, SpiceLinkReply, encrypt_password};
use shakenfist_spice_protocol::messages::make_message;
use shakenfist_spice_protocol::{ChannelType, capabilities};
use spice_source::{Channel, DrawRate, Event, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinHandle;

use crate::memory::most_held;
use crate::peers::{self, PASSWORD};
use crate::pieces::Pieces;

/// Nothing that is awaited takes so long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Eight connections, each with a message and what is drawn.
const MAX_HELD_BYTES: usize = 64 << 20;
const MAX_CONNECTIONS: usize = 8;
const CHANNELS: [ChannelType; 5] = [
    ChannelType::Main,
    ChannelType::Display,
    ChannelType::Inputs,
    ChannelType::Cursor,
    ChannelType::Playback,
];
const RATES: [u32; 4] = [0, 60, 1000, 100_000];

/// Plays hostile clients to the source: the input is a series of acts, each a byte that chooses it and what it takes.
///
/// | byte, modulo 8 | act |
/// |---|---|
/// | 0 | open a channel of the present session well: its type |
/// | 1 | connect, and say these bytes in place of a link |
/// | 2 | link well, and say these bytes in place of a ticket: type, bytes |
/// | 3 | send a message: connection, opcode, body |
/// | 4 | send bytes: connection, bytes |
/// | 5 | close the sending side of a connection |
/// | 6 | draw at another rate |
/// | 7 | ask for a gap: channel, opcode |
///
/// # Panics
///
/// When the source or a task of it panics, keeps a connection or a session whose client is gone, takes more memory than its
/// bounds allow, or tells the password.
pub fn source_spice(input: &[u8]) {
    peers::with_listening_source(|runtime, server, port| {
        let play = async {
            tokio::time::timeout(TIMEOUT, Clients::new(server, port).play(input))
                .await
                .expect("the source answers, and closes what its clients close");
        };
        let ((), most) = most_held(|| peers::without_panics(|| runtime.block_on(play)));
        assert!(most <= MAX_HELD_BYTES, "{} MiB taken", most >> 20);
    });
}

struct Clients<'a> {
    server: &'a mut Server,
    port: u16,
    connections: Vec<Connection>,
    /// The latest that the source told of.
    session: u32,
}

struct Connection {
    sender: OwnedWriteHalf,
    /// Takes in what the source sends; ends when the source has closed the connection.
    drained: JoinHandle<()>,
}

impl Clients<'_> {
    fn new(server: &mut Server, port: u16) -> Clients<'_> {
        Clients {
            server,
            port,
            connections: Vec::new(),
            session: 0,
        }
    }

    async fn play(mut self, input: &[u8]) {
        let mut pieces = Pieces::of(input);
        while !pieces.is_empty() {
            self.act(&mut pieces).await;
        }
        for Connection { sender, drained } in self.connections.drain(..) {
            drop(sender);
            drained.await.expect("reading does not panic");
        }
        let stats = self.server.stats();
        assert_eq!(stats["active_sessions"], 0, "{stats}");
        assert_eq!(stats["open_channels"], serde_json::json!([]), "{stats}");
        self.hear();
    }

    async fn act(&mut self, pieces: &mut Pieces<'_>) {
        match pieces.byte() % 8 {
            0 => {
                let channel = CHANNELS[usize::from(pieces.byte()) % CHANNELS.len()];
                self.open(channel, None).await;
            }
            1 => {
                let bytes = pieces.bytes();
                if let Some(mut stream) = self.connect().await {
                    let _ = stream.write_all(bytes).await;
                    self.keep(stream);
                }
            }
            2 => {
                let channel = CHANNELS[usize::from(pieces.byte()) % CHANNELS.len()];
                self.open(channel, Some(pieces.bytes())).await;
            }
            3 => {
                let (connection, opcode, body) = (pieces.byte(), pieces.short(), pieces.bytes());
                self.say(connection, &make_message(opcode, body)).await;
            }
            4 => {
                let (connection, bytes) = (pieces.byte(), pieces.bytes());
                self.say(connection, bytes).await;
            }
            5 => {
                let connection = pieces.byte();
                if let Some(connection) = self.connection(connection) {
                    let _ = connection.sender.shutdown().await;
                }
            }
            6 => {
                let rate = RATES[usize::from(pieces.byte()) % RATES.len()];
                let rate = DrawRate::try_from(rate).expect("a rate");
                assert!(self.server.set_rate(rate), "a source draws");
            }
            _ => {
                let channel = [Channel::Main, Channel::Display, Channel::Inputs, Channel::Cursor]
                    [usize::from(pieces.byte()) % 4];
                // Refused where nobody has that channel open.
                let _ = self
                    .server
                    .send_gap(channel, Some(pieces.short()).filter(|opcode| *opcode > 0));
            }
        }
    }

    async fn connect(&self) -> Option<TcpStream> {
        if self.connections.len() == MAX_CONNECTIONS {
            return None;
        }
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await;
        let stream = stream.expect("the source listens");
        // Or small pieces would wait for acknowledgements, 40 ms each.
        stream.set_nodelay(true).expect("a fresh connection");
        Some(stream)
    }

    fn keep(&mut self, stream: TcpStream) {
        let (mut receiver, sender) = stream.into_split();
        let drained = tokio::spawn(async move {
            // A connection that the source resets is closed as well.
            let _ = tokio::io::copy(&mut receiver, &mut tokio::io::sink()).await;
        });
        self.connections.push(Connection { sender, drained });
    }

    fn connection(&mut self, number: u8) -> Option<&mut Connection> {
        let number = usize::from(number).checked_rem(self.connections.len())?;
        self.connections.get_mut(number)
    }

    async fn say(&mut self, connection: u8, bytes: &[u8]) {
        if let Some(connection) = self.connection(connection) {
            // The source hangs up on whom it does not understand.
            let _ = connection.sender.write_all(bytes).await;
        }
    }

    /// Links as a good client does, with the right password or these bytes in place of a ticket, and hears the outcome.
    async fn open(&mut self, channel: ChannelType, ticket: Option<&[u8]>) {
        self.hear();
        let Some(mut stream) = self.connect().await else {
            return;
        };
        let main = channel == ChannelType::Main;
        let link = SpiceLinkMess {
            connection_id: if main { 0 } else { self.session },
            channel_type: channel as u8,
            channel_id: 0,
            common_caps: vec![capabilities::DEFAULT_COMMON],
            channel_caps: vec![0],
        };
        stream
            .write_all(&link.serialize())
            .await
            .expect("a fresh connection");
        if let Some(key) = linked(&mut stream).await {
            match ticket {
                Some(bytes) => {
                    let _ = stream.write_all(bytes).await;
                }
                None => {
                    let ticket = encrypt_password(&key, PASSWORD).expect("the source's own key");
                    let said = [&1_u32.to_le_bytes()[..], &ticket].concat();
                    stream.write_all(&said).await.expect("the source waits for it");
                    let mut verdict = [1; 4];
                    stream.read_exact(&mut verdict).await.expect("a verdict");
                    assert_eq!(verdict, [0; 4], "the right password opens");
                    if main {
                        self.await_session().await;
                    }
                }
            }
        }
        self.keep(stream);
    }

    /// What the source has told so far.
    fn hear(&mut self) {
        let told = std::iter::from_fn(|| {
            let mut event = std::pin::pin!(self.server.next_event());
            let waker = std::task::Waker::noop();
            match event.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
                std::task::Poll::Ready(event) => event,
                std::task::Poll::Pending => None,
            }
        });
        for event in told {
            assert!(!format!("{event:?}").contains(PASSWORD), "{event:?}");
            if let Event::SessionStarted { session } = event {
                self.session = session;
            }
        }
    }

    async fn await_session(&mut self) {
        while let Some(event) = self.server.next_event().await {
            if let Event::SessionStarted { session } = event {
                self.session = session;
                return;
            }
        }
        panic!("the source has ended");
    }
}

/// The source's key, where it took the link.
async fn linked(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut reply = vec![0; 16];
    stream.read_exact(&mut reply).await.expect("a link is answered");
    let size = u32::from_le_bytes([reply[12], reply[13], reply[14], reply[15]]) as usize;
    reply.resize(16 + size, 0);
    stream.read_exact(&mut reply[16..]).await.expect("a whole answer");
    let reply = SpiceLinkReply::parse(&reply).expect("a good answer");
    (reply.error == shakenfist_spice_protocol::SpiceError::Ok).then_some(reply.pub_key)
}
