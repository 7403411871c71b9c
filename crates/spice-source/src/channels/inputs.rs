//! The inputs channel: keys and pointer movements are counted, and go nowhere.

use std::io;
use std::sync::atomic::Ordering;

use shakenfist_spice_protocol::inputs_server;
use shakenfist_spice_protocol::messages::InputsInit;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::source::Settings;
use crate::wire::{MessageReader, message};

/// Opcodes below are the same on every channel (acknowledgements, PONG) and are no input.
const FIRST_INPUT_OPCODE: u16 = 101;

pub(super) async fn serve(mut stream: TcpStream, settings: &Settings) -> io::Result<()> {
    let (incoming, mut outgoing) = stream.split();
    outgoing
        .write_all(&message(
            inputs_server::INIT,
            &InputsInit {
                keyboard_modifiers: 0,
            },
        ))
        .await?;
    let mut reader = MessageReader::new(incoming);
    while let Some(received) = reader.next().await? {
        if received.header.message_type >= FIRST_INPUT_OPCODE {
            settings.input_messages.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
