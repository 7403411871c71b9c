//! The cursor channel: there is none to see.

use std::io;

use shakenfist_spice_protocol::cursor_server;
use shakenfist_spice_protocol::messages::{CursorInit, CursorInitHead, SpiceCursor};
use tokio::net::TcpStream;

use crate::channels::drain;
use crate::gap::Channel;
use crate::source::Settings;
use crate::wire::{MessageReader, MessageWriter, message};

pub(super) async fn serve(mut stream: TcpStream, settings: &Settings) -> io::Result<()> {
    let (incoming, outgoing) = stream.split();
    let writer = MessageWriter::new(outgoing);
    let head = CursorInitHead {
        x: 0,
        y: 0,
        trail_length: 0,
        trail_frequency: 0,
        visible: 0,
    };
    let init = CursorInit {
        head,
        cursor: SpiceCursor::none(),
    };
    writer.send(&message(cursor_server::INIT, &init)).await?;
    let mut gaps = settings.gaps.open(Channel::Cursor);
    tokio::select! {
        ended = drain(MessageReader::new(incoming)) => ended,
        failed = writer.send_gaps(&mut gaps) => failed,
    }
}
