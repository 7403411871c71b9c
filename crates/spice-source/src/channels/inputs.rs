//! The inputs channel: keys and pointer movements are counted, and go nowhere.

use std::io;
use std::sync::atomic::Ordering;

use shakenfist_spice_protocol::inputs_server;
use shakenfist_spice_protocol::messages::InputsInit;
use tokio::io::AsyncRead;
use tokio::net::TcpStream;

use crate::gap::Channel;
use crate::source::Settings;
use crate::wire::{MessageReader, MessageWriter, message};

/// Opcodes below are the same on every channel (acknowledgements, PONG) and are no input.
const FIRST_INPUT_OPCODE: u16 = 101;

pub(super) async fn serve(mut stream: TcpStream, settings: &Settings) -> io::Result<()> {
    let (incoming, outgoing) = stream.split();
    let writer = MessageWriter::new(outgoing);
    writer
        .send(&message(
            inputs_server::INIT,
            &InputsInit {
                keyboard_modifiers: 0,
            },
        ))
        .await?;
    let mut gaps = settings.gaps.open(Channel::Inputs);
    tokio::select! {
        ended = count(MessageReader::new(incoming), settings) => ended,
        failed = writer.send_gaps(&mut gaps) => failed,
    }
}

async fn count(mut reader: MessageReader<impl AsyncRead + Unpin>, settings: &Settings) -> io::Result<()> {
    while let Some(received) = reader.next().await? {
        if received.header.message_type >= FIRST_INPUT_OPCODE {
            settings.input_messages.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
