//! The display channel: one surface, drawn on at the rate asked.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shakenfist_spice_protocol::constants::surface_fmt;
use shakenfist_spice_protocol::messages::{AckSync, SetAck, SurfaceCreate, WireType, make_message};
use shakenfist_spice_protocol::{display_client, display_server};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::channels::ack_window::{AckWindow, WINDOW};
use crate::channels::pacer::Pacer;
use crate::channels::painter::Painter;
use crate::config::SurfaceSize;
use crate::gap::Channel;
use crate::source::Settings;
use crate::wire::{MessageReader, MessageWriter, message};

/// The primary surface.
pub(super) const SURFACE_ID: u32 = 0;
/// `SPICE_SURFACE_FLAGS_PRIMARY`.
const PRIMARY: u32 = 1;
/// There is one SET_ACK, and this is its number.
const ACK_GENERATION: u32 = 1;

/// The shortest time between two looks at what is due. At higher rates, several draws go out at once.
const TICK: Duration = Duration::from_millis(2);
/// The most draws written at once, 1 MiB.
const BATCH: u32 = 64;

pub(super) async fn serve(mut stream: TcpStream, settings: &Settings) -> io::Result<()> {
    let (incoming, outgoing) = stream.split();
    let client = ClientState::default();
    tokio::select! {
        ended = listen(MessageReader::new(incoming), &client) => ended,
        failed = show(MessageWriter::new(outgoing), &client, settings) => failed,
    }
}

/// What the client has let know, for the one who draws.
#[derive(Default)]
struct ClientState {
    initialised: Notify,
    acks: AckWindow,
}

async fn listen(mut reader: MessageReader<impl AsyncRead + Unpin>, client: &ClientState) -> io::Result<()> {
    let mut synced = false;
    while let Some(received) = reader.next().await? {
        match received.header.message_type {
            display_client::INIT => client.initialised.notify_one(),
            display_client::ACK_SYNC => {
                synced = AckSync::decode(received.payload())
                    == Ok(AckSync {
                        generation: ACK_GENERATION,
                    });
            }
            display_client::ACK if synced => client.acks.acknowledge(),
            _ => {} // Preferences for compression and video, of which there is none here.
        }
    }
    Ok(())
}

async fn show(
    writer: MessageWriter<impl AsyncWrite + Unpin>,
    client: &ClientState,
    settings: &Settings,
) -> io::Result<()> {
    let mut gaps = settings.gaps.open(Channel::Display);
    // As a real server does: before that, the client has not said what it can take.
    client.initialised.notified().await;
    writer.send(&opening(settings.surface)).await?;
    tokio::select! {
        failed = draw(&writer, client, settings) => failed,
        failed = writer.send_gaps(&mut gaps) => failed,
    }
}

async fn draw(
    writer: &MessageWriter<impl AsyncWrite + Unpin>,
    client: &ClientState,
    settings: &Settings,
) -> io::Result<()> {
    let mut rate = settings.rate.subscribe();
    let mut pacer = Pacer::new(*rate.borrow_and_update(), Instant::now());
    let mut painter = Painter::new(settings.surface);
    let mut batch = Vec::new();
    loop {
        pacer.set_rate(*rate.borrow_and_update(), Instant::now());
        let due = pacer.due(Instant::now());
        if due == 0 {
            tokio::select! {
                () = next_look(&pacer) => {}
                _ = rate.changed() => {}
            }
            continue;
        }
        let count = client.acks.reserve(due.min(BATCH)).await;
        batch.clear();
        for _ in 0..count {
            painter.append_draw(&mut batch);
        }
        writer.send(&batch).await?;
        pacer.drew(count);
        settings.draws_sent.fetch_add(u64::from(count), Ordering::Relaxed);
    }
}

/// Sleeps until something is due, and for a tick at least; for ever, at rate 0.
async fn next_look(pacer: &Pacer) {
    match pacer.next_due() {
        Some(due) => tokio::time::sleep_until(due.max(Instant::now() + TICK)).await,
        None => std::future::pending().await,
    }
}

/// What the channel begins with: the terms of acknowledgement, and the surface.
fn opening(surface: SurfaceSize) -> Vec<u8> {
    let set_ack = SetAck {
        generation: ACK_GENERATION,
        window: WINDOW,
    };
    let surface = SurfaceCreate {
        surface_id: SURFACE_ID,
        width: surface.width(),
        height: surface.height(),
        format: surface_fmt::FMT_32_XRGB,
        flags: PRIMARY,
    };
    [
        message(display_server::SET_ACK, &set_ack),
        message(display_server::SURFACE_CREATE, &surface),
        make_message(display_server::MARK, &[]),
    ]
    .concat()
}
