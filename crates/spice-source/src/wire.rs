//! SPICE messages over a TCP stream.

use std::io;

use shakenfist_spice_protocol::messages::{ReceiveBuffer, ReceivedMessage, WireType, make_message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

use crate::gap::{self, Requests};

/// The largest message body that a client may send. A real client's largest is a 2 KiB piece of agent data.
const MAX_BODY_BYTES: usize = 64 * 1024;

const READ_BYTES: usize = 16 * 1024;

/// Takes one message after the other off a stream.
pub(crate) struct MessageReader<R> {
    stream: R,
    buffer: ReceiveBuffer,
    chunk: Box<[u8]>,
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: ReceiveBuffer::new(),
            chunk: vec![0; READ_BYTES].into(),
        }
    }

    /// The next message, or `None` when the peer has closed the connection.
    ///
    /// # Errors
    ///
    /// What reading fails with, and [`io::ErrorKind::InvalidData`] for a message that is too large.
    pub(crate) async fn next(&mut self) -> io::Result<Option<ReceivedMessage>> {
        loop {
            if let Some(message) = self.buffer.take_message(MAX_BODY_BYTES)? {
                return Ok(Some(message));
            }
            let count = self.stream.read(&mut self.chunk).await?;
            if count == 0 {
                return Ok(None);
            }
            self.buffer.extend_from_slice(&self.chunk[..count]);
        }
    }
}

/// Writes whole messages, from several hands.
pub(crate) struct MessageWriter<W>(Mutex<W>);

impl<W: AsyncWrite + Unpin> MessageWriter<W> {
    pub(crate) fn new(stream: W) -> Self {
        Self(Mutex::new(stream))
    }

    /// Writes one or more whole messages. Once begun it must be finished, or the stream is torn.
    pub(crate) async fn send(&self, messages: &[u8]) -> io::Result<()> {
        self.0.lock().await.write_all(messages).await
    }

    /// Sends every gap that is asked for; ends only when writing fails.
    pub(crate) async fn send_gaps(&self, requests: &mut Requests<'_>) -> io::Result<()> {
        loop {
            let opcode = requests.next().await;
            self.send(&make_message(opcode, gap::BODY)).await?;
            requests.count_sent();
        }
    }
}

/// A whole message, header included, ready to be written.
pub(crate) fn message(opcode: u16, body: &impl WireType) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.write(&mut bytes);
    make_message(opcode, &bytes)
}

#[cfg(test)]
mod tests {
    use shakenfist_spice_protocol::messages::AckSync;

    use super::*;

    #[tokio::test]
    async fn messages_come_out_as_they_went_in() {
        let mut bytes = message(1, &AckSync { generation: 7 });
        bytes.extend(make_message(2, &[]));
        bytes.extend([3, 0]); // The peer closes within a header.
        let mut reader = MessageReader::new(bytes.as_slice());

        let first = reader.next().await.unwrap().unwrap();
        assert_eq!(first.header.message_type, 1);
        assert_eq!(AckSync::decode(first.payload()), Ok(AckSync { generation: 7 }));
        let second = reader.next().await.unwrap().unwrap();
        assert_eq!((second.header.message_type, second.payload()), (2, &[][..]));
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_message_too_large_is_refused_before_it_has_come() {
        let mut header = 101_u16.to_le_bytes().to_vec();
        header.extend(u32::MAX.to_le_bytes());
        let error = MessageReader::new(header.as_slice()).next().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
