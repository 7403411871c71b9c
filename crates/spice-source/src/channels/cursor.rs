//! The cursor channel: there is none to see.

use std::io;

use shakenfist_spice_protocol::cursor_server;
use shakenfist_spice_protocol::messages::{CursorInit, CursorInitHead, SpiceCursor};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::channels::drain;
use crate::wire::{MessageReader, message};

pub(super) async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let (incoming, mut outgoing) = stream.split();
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
    outgoing.write_all(&message(cursor_server::INIT, &init)).await?;
    drain(MessageReader::new(incoming)).await
}
