//! The main channel: greets the client, tells which channels there are, and pings.

use std::io;
use std::time::{Duration, Instant};

use shakenfist_spice_protocol::messages::{ChannelEntry, ChannelsList, MainInit, MainMouseMode, Ping};
use shakenfist_spice_protocol::{MOUSE_MODE_CLIENT, main_client, main_server};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::channels::SideChannel;
use crate::gap::Channel;
use crate::sessions::SessionEnd;
use crate::source::Settings;
use crate::wire::{MessageReader, MessageWriter, message};

/// Answers that wait to be written. A client that asks for more without reading them is cut off.
const ANSWER_BACKLOG: usize = 16;

/// A timer cannot have an interval of zero.
const SHORTEST_PING_INTERVAL: Duration = Duration::from_millis(1);

pub(super) async fn serve(mut stream: TcpStream, session: u32, settings: &Settings) -> SessionEnd {
    let (incoming, outgoing) = stream.split();
    let (answers, waiting) = mpsc::channel(ANSWER_BACKLOG);
    tokio::select! {
        end = listen(MessageReader::new(incoming), answers, settings) => end,
        failed = speak(MessageWriter::new(outgoing), waiting, session, settings) => SessionEnd::from(failed),
    }
}

async fn listen(
    mut reader: MessageReader<impl AsyncRead + Unpin>,
    answers: mpsc::Sender<Vec<u8>>,
    settings: &Settings,
) -> SessionEnd {
    loop {
        let Ok(received) = tokio::time::timeout(settings.silence_limit, reader.next()).await else {
            return SessionEnd::Silent(settings.silence_limit);
        };
        let received = match received {
            Ok(Some(received)) => received,
            ended => return SessionEnd::from(ended.map(|_| ())),
        };
        let answer = match received.header.message_type {
            main_client::ATTACH_CHANNELS => message(main_server::CHANNELS_LIST, &channels_list()),
            main_client::MOUSE_MODE_REQUEST => message(main_server::MOUSE_MODE, &mouse_mode()),
            main_client::DISCONNECTING => return SessionEnd::ClientGone,
            _ => continue, // PONG, CLIENT_INFO, messages for an agent that is not there: nothing to do.
        };
        if answers.try_send(answer).is_err() {
            return SessionEnd::Broken("the client asks, and does not read the answers".to_owned());
        }
    }
}

async fn speak(
    writer: MessageWriter<impl AsyncWrite + Unpin>,
    answers: mpsc::Receiver<Vec<u8>>,
    session: u32,
    settings: &Settings,
) -> io::Result<()> {
    writer
        .send(&message(main_server::INIT, &init(session, settings.started)))
        .await?;
    let mut gaps = settings.gaps.open(Channel::Main);
    tokio::select! {
        ended = answer_and_ping(&writer, answers, settings) => ended,
        failed = writer.send_gaps(&mut gaps) => failed,
    }
}

async fn answer_and_ping(
    writer: &MessageWriter<impl AsyncWrite + Unpin>,
    mut answers: mpsc::Receiver<Vec<u8>>,
    settings: &Settings,
) -> io::Result<()> {
    // The first ping comes at once, as a real server's network test does: some clients ask for the channels only then.
    let mut pings = tokio::time::interval(settings.ping_interval.max(SHORTEST_PING_INTERVAL));
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ping_id = 0;
    loop {
        tokio::select! {
            answer = answers.recv() => match answer {
                Some(answer) => writer.send(&answer).await?,
                None => return Ok(()),
            },
            _ = pings.tick() => {
                ping_id += 1;
                let timestamp = settings.started.elapsed().as_micros() as u64;
                writer.send(&message(main_server::PING, &Ping { id: ping_id, timestamp, padding_len: 0 })).await?;
            }
        }
    }
}

fn init(session: u32, started: Instant) -> MainInit {
    MainInit {
        session_id: session,
        display_channels_hint: 1,
        supported_mouse_modes: MOUSE_MODE_CLIENT,
        current_mouse_mode: MOUSE_MODE_CLIENT,
        agent_connected: 0,
        agent_tokens: 0,
        // A clock in milliseconds that wraps, as the protocol has it.
        multi_media_time: started.elapsed().as_millis() as u32,
        ram_hint: 0,
    }
}

fn mouse_mode() -> MainMouseMode {
    let client = MOUSE_MODE_CLIENT as u16;
    MainMouseMode {
        supported_modes: client,
        current_mode: client,
    }
}

fn channels_list() -> ChannelsList {
    let entry = |channel: SideChannel| ChannelEntry {
        channel_type: channel.channel_type() as u8,
        channel_id: 0,
    };
    ChannelsList {
        channels: SideChannel::ALL.map(entry).into(),
    }
}
