//! A hostile server, and the client's own session with it.

use std::time::Duration;

use headless_client::connection::Connection;
use headless_client::session::Session;
use headless_client::target::{Password, Target};
use shakenfist_spice_protocol::link::SpiceLinkReply;
use shakenfist_spice_protocol::messages::{ChannelEntry, ChannelsList, MainInit, WireType, make_message};
use shakenfist_spice_protocol::{ChannelType, SpiceError, capabilities, main_server};
use shakenfist_spice_renderer::CancellationToken;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::memory::most_held;
use crate::peers::{self, PASSWORD};
use crate::pieces::Pieces;

/// No session waits for it to pass.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest image that the renderer decodes.
const MAX_IMAGE_BYTES: usize = 256 << 20;
/// Images: four that wait to be drawn, one being drawn, one waiting to wait, and one being decoded; then surfaces, caches and
/// the rest.
const MAX_HELD_BYTES: usize = 7 * MAX_IMAGE_BYTES + (256 << 20) + (192 << 20) + (64 << 20);
/// A session's number, as a real server makes them.
const SESSION: u32 = 0x1234_5678;

/// The channels that the client is offered beside the main one, in the order in which it links them: with no more of
/// them than it serves.
const SIDE_CHANNELS: [ChannelType; 5] = [
    ChannelType::Display,
    ChannelType::Inputs,
    ChannelType::Cursor,
    ChannelType::Usbredir,
    ChannelType::Webdav,
];

/// Plays a hostile server to the client: the first byte says how far it behaves, the rest what it says then.
///
/// | first byte, modulo 4 | the rest is |
/// |---|---|
/// | 0 | what the server says on the main channel, its link included |
/// | 1 | what it says there behind a good link |
/// | 2 | what it says on the display channel in place of a link, in a good session |
/// | 3 | pieces for the channels of a good session: channel, opcode (0: the bytes bring their own header), bytes |
///
/// # Panics
///
/// When the session or a task of it panics, does not end when every connection has ended, takes more memory than its
/// bounds allow, or tells the password; or when what reports are made of cannot be had afterwards.
pub fn client_spice(input: &[u8]) {
    let ((), most) = most_held(|| peers::without_panics(|| peers::runtime().block_on(hold_against(input))));
    assert!(most <= MAX_HELD_BYTES, "{} MiB taken", most >> 20);
}

async fn hold_against(input: &[u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let password = Password::new(PASSWORD.to_owned());
    let target = Target::new("127.0.0.1", port, Some(password)).expect("a target");
    let connection = Connection::to(target);
    let session = connection.session();
    let mut held = tokio::spawn(connection.hold(CancellationToken::new()));
    let both = async {
        tokio::select! {
            // The server may wait for a client that has given up.
            ended = &mut held => ended,
            () = Server { listener }.play(input) => held.await,
        }
    };
    let ended = tokio::time::timeout(TIMEOUT, both)
        .await
        .expect("a session ends with its connections")
        .expect("the session's task did not panic");
    let error = ended.expect_err("nobody asked the client to end").to_string();
    assert!(!error.contains(PASSWORD), "{error}");
    assert_reportable(&session);
}

/// Whatever a server did, a report can be made of it.
fn assert_reportable(session: &Session) {
    assert!(
        session
            .loss_reason()
            .is_some_and(|cause| !cause.contains(PASSWORD))
    );
    let state = serde_json::to_string(&session.state()).expect("a state");
    let channels = session.channel_state().expect("the channels' state");
    serde_json::from_str::<serde_json::Value>(&channels).expect("the channels' state is JSON");
    assert!(!state.contains(PASSWORD) && !channels.contains(PASSWORD));
    if let Err(why) = session.screenshot() {
        assert!(!why.is_empty());
    }
    for told in session.notifications() {
        assert!(!told.message.contains(PASSWORD), "{}", told.message);
    }
}

struct Server {
    listener: TcpListener,
}

/// A connection behind its link.
type Linked = Option<TcpStream>;

impl Server {
    async fn play(mut self, input: &[u8]) {
        let mut pieces = Pieces::of(input);
        match pieces.byte() % 4 {
            0 => {
                let mut main = self.accept().await;
                say(&mut main, pieces.rest()).await;
                self.end([main]).await;
            }
            1 => {
                let mut main = self.accept_well().await;
                say(&mut main, pieces.rest()).await;
                self.end([main]).await;
            }
            2 => {
                let mut main = self.accept_well().await;
                say(&mut main, &opening()).await;
                let mut display = self.accept().await;
                say(&mut display, pieces.rest()).await;
                self.end([display, main]).await;
            }
            _ => self.hold_session(pieces).await,
        }
    }

    async fn hold_session(mut self, mut pieces: Pieces<'_>) {
        let mut channels = [const { None }; 1 + SIDE_CHANNELS.len()];
        channels[0] = self.accept_well().await;
        say(&mut channels[0], &opening()).await;
        for channel in &mut channels[1..] {
            *channel = self.accept_well().await;
        }
        while !pieces.is_empty() {
            let channel = usize::from(pieces.byte()) % channels.len();
            let (opcode, bytes) = (pieces.short(), pieces.bytes());
            if opcode == 0 {
                say(&mut channels[channel], bytes).await;
            } else {
                say(&mut channels[channel], &make_message(opcode, bytes)).await;
            }
        }
        // The session ends with the main channel, and with the display: everything else first.
        channels.rotate_left(2);
        let [inputs, cursor, usb, webdav, main, display] = channels;
        self.end([inputs, cursor, usb, webdav, display, main]).await;
    }

    /// The next connection, its link message read.
    async fn accept(&mut self) -> Linked {
        let (mut stream, _) = self.listener.accept().await.ok()?;
        // Or small pieces would wait for the client's acknowledgements, 40 ms each.
        stream.set_nodelay(true).ok()?;
        let mut head = [0; 16];
        stream.read_exact(&mut head).await.ok()?;
        let size = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
        let mut body = vec![0; size as usize];
        stream.read_exact(&mut body).await.ok()?;
        Some(stream)
    }

    /// The next connection, linked.
    async fn accept_well(&mut self) -> Linked {
        let mut stream = self.accept().await?;
        stream.write_all(&link_reply()).await.ok()?;
        let mut mechanism_and_ticket = [0; 4 + 128];
        stream.read_exact(&mut mechanism_and_ticket).await.ok()?;
        stream.write_all(&[0; 4]).await.ok()?;
        Some(stream)
    }

    /// Closes the connections one after the other, each when its client has taken everything in, and every further one
    /// that the client still tries to make.
    async fn end<const N: usize>(self, channels: [Linked; N]) {
        let closing = async {
            for mut stream in channels.into_iter().flatten() {
                let _ = stream.shutdown().await;
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        };
        let refusing = async { while self.listener.accept().await.is_ok() {} };
        tokio::select! {
            () = closing => {}
            () = refusing => {}
        }
    }
}

/// A client that has hung up hears nothing, which is for it to answer for.
async fn say(channel: &mut Linked, bytes: &[u8]) {
    if let Some(stream) = channel
        && stream.write_all(bytes).await.is_err()
    {
        *channel = None;
    }
}

/// A good link, with a key that nobody has the other half of: nothing that the client encrypts is ever read.
fn link_reply() -> Vec<u8> {
    let modulus = [0xc3; 128];
    let reply = SpiceLinkReply {
        error: SpiceError::Ok,
        pub_key: [KEY_HEAD, &modulus, KEY_TAIL].concat(),
        common_caps: vec![capabilities::DEFAULT_COMMON],
        channel_caps: vec![0],
    };
    reply.serialize().expect("a reply of the usual size")
}

/// RSA with 1024 bits, as DER (RFC 3279, SubjectPublicKeyInfo), up to the modulus.
const KEY_HEAD: &[u8] = &[
    0x30, 0x81, 0x9f, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
    0x00, 0x03, 0x81, 0x8d, 0x00, 0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00,
];
/// The exponent, 65537.
const KEY_TAIL: &[u8] = &[0x02, 0x03, 0x01, 0x00, 0x01];

/// What a good main channel begins with.
fn opening() -> Vec<u8> {
    let init = MainInit {
        session_id: SESSION,
        display_channels_hint: 1,
        supported_mouse_modes: 3,
        current_mouse_mode: 2,
        agent_connected: 0,
        agent_tokens: 10,
        multi_media_time: 0,
        ram_hint: 0,
    };
    let entry = |channel: ChannelType| ChannelEntry {
        channel_type: channel as u8,
        channel_id: 0,
    };
    let list = ChannelsList {
        channels: SIDE_CHANNELS.map(entry).into(),
    };
    [
        message(main_server::INIT, &init),
        message(main_server::CHANNELS_LIST, &list),
    ]
    .concat()
}

fn message(opcode: u16, body: &impl WireType) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.write(&mut bytes);
    make_message(opcode, &bytes)
}
