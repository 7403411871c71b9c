//! Passes one connection's messages on in both directions, with gaps between them where they are asked for.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shakenfist_spice_protocol::{display_client, display_server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::acks::Acks;
use super::framing::{Framing, Header, Message, Part, message};
use crate::gap::{self, Requests};

/// What is read at a time, and so all that is kept of a stream.
const CHUNK: usize = 64 * 1024;

/// How long one direction may still flow after the other has ended.
const LINGER: Duration = Duration::from_secs(1);

/// These have the same numbers on every channel.
const SET_ACK: u16 = display_server::SET_ACK;
const ACK: u16 = display_client::ACK;

/// Bytes passed on, over all connections.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) to_client: AtomicU64,
    pub(super) to_server: AtomicU64,
}

/// Passes on messages until one side has closed the connection.
pub(super) async fn messages(
    client: &mut TcpStream,
    server: &mut TcpStream,
    form: Header,
    gaps: &mut Requests<'_>,
    passed: &Passed,
) -> io::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let acks = Acks::default();
    both(
        downstream(from_server, to_client, Framing::new(form), gaps, &acks, passed),
        upstream(from_client, to_server, Framing::new(form), &acks, passed),
    )
    .await
}

/// Passes on whatever there is until one side has closed the connection.
pub(super) async fn opaque(
    client: &mut TcpStream,
    server: &mut TcpStream,
    passed: &Passed,
) -> io::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    both(
        copy(from_server, to_client, &passed.to_client),
        copy(from_client, to_server, &passed.to_server),
    )
    .await
}

/// Runs two directions until one ends, and for a moment the other.
async fn both(
    one: impl Future<Output = io::Result<()>>,
    other: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    tokio::select! {
        ended = &mut one => { let _ = tokio::time::timeout(LINGER, other).await; ended }
        ended = &mut other => { let _ = tokio::time::timeout(LINGER, one).await; ended }
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    passed: &AtomicU64,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..count]).await?;
        passed.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Server to client: every byte as it comes, and a gap at the first message boundary after it was asked for.
async fn downstream(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut framing: Framing,
    gaps: &mut Requests<'_>,
    acks: &Acks,
    passed: &Passed,
) -> io::Result<()> {
    let form = framing.form();
    let mut chunk = vec![0; CHUNK];
    let mut wanted = None;
    loop {
        if let Some(opcode) = wanted.take_if(|_| framing.at_boundary()) {
            acks.gap_sent();
            to.write_all(&message(form, opcode, gap::BODY)).await?;
            gaps.count_sent();
        }
        let count = tokio::select! {
            biased; // what was asked for before these bytes goes before them where it can
            opcode = gaps.next(), if wanted.is_none() => {
                wanted = Some(opcode);
                continue;
            }
            count = from.read(&mut chunk) => count?,
        };
        if count == 0 {
            return to.shutdown().await;
        }
        let mut first_boundary = None;
        framing.feed(&chunk[..count], |part| {
            if let Part::End { at, message } = part {
                first_boundary.get_or_insert(at);
                match window_asked_for(message) {
                    Some(window) => acks.asked_for(window),
                    None => acks.server_sent(),
                }
            }
        });
        // Up to where the gap belongs; the rest of the chunk, if the stream goes on within it, comes behind.
        let (before, behind) = match (&wanted, first_boundary) {
            (Some(_), Some(at)) => chunk[..count].split_at(at),
            _ => (&chunk[..count], &[][..]),
        };
        to.write_all(before).await?;
        if !behind.is_empty()
            && let Some(opcode) = wanted.take()
        {
            acks.gap_sent();
            to.write_all(&message(form, opcode, gap::BODY)).await?;
            gaps.count_sent();
            to.write_all(behind).await?;
        }
        passed.to_client.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The window of a SET_ACK: its second word.
fn window_asked_for(message: Message<'_>) -> Option<u32> {
    let window = message.body_start.get(4..8)?;
    (message.opcode == SET_ACK).then(|| u32::from_le_bytes([window[0], window[1], window[2], window[3]]))
}

/// Client to server: every byte as it comes, but for ACKs that gaps brought early. Those follow when they are due.
async fn upstream(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut framing: Framing,
    acks: &Acks,
    passed: &Passed,
) -> io::Result<()> {
    let form = framing.form();
    let mut chunk = vec![0; CHUNK];
    let mut out = Vec::with_capacity(CHUNK);
    loop {
        out.clear();
        tokio::select! {
            // An ACK may only go between two messages.
            due = acks.released(), if framing.at_boundary() => {
                (0..due).for_each(|_| out.extend(message(form, ACK, &[])));
            }
            count = from.read(&mut chunk) => {
                let count = count?;
                if count == 0 {
                    to.write_all(framing.unfinished_header()).await?;
                    return to.shutdown().await;
                }
                framing.feed(&chunk[..count], |part| match part {
                    Part::Header { opcode: ACK, size: 0, .. } if !acks.arrived() => {}
                    Part::Header { bytes, .. } | Part::Body(bytes) => out.extend_from_slice(bytes),
                    Part::End { .. } => {}
                });
            }
        }
        to.write_all(&out).await?;
        passed.to_server.fetch_add(out.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;
    use crate::gap::{Channel, Gaps};

    /// Every message of a stream, as (opcode, body).
    fn messages_in(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let mut messages: Vec<(u16, Vec<u8>)> = Vec::new();
        Framing::new(Header::Mini).feed(bytes, |part| match part {
            Part::Header { opcode, .. } => messages.push((opcode, Vec::new())),
            Part::Body(body) => messages.last_mut().unwrap().1.extend_from_slice(body),
            Part::End { .. } => {}
        });
        messages
    }

    #[tokio::test]
    async fn a_gap_waits_for_the_end_of_the_message_and_nothing_else_changes() {
        let gaps = Gaps::default();
        let mut requests = gaps.open(Channel::Display);
        let (mut server, from) = duplex(1 << 20);
        let (to, mut client) = duplex(1 << 20);
        let (acks, passed) = (Acks::default(), Passed::default());
        let stream: Vec<u8> = [
            message(Header::Mini, 304, &[1; 1000]),
            message(Header::Mini, 4, &[]),
            message(Header::Mini, 305, &[2; 70_000]),
        ]
        .concat();
        let relaying = downstream(
            from,
            to,
            Framing::new(Header::Mini),
            &mut requests,
            &acks,
            &passed,
        );
        let scene = async {
            server.write_all(&stream[..500]).await.unwrap();
            let mut received = vec![0; 500];
            client.read_exact(&mut received).await.unwrap();
            gaps.ask(Channel::Display, Some(60_001)).unwrap();
            tokio::task::yield_now().await;
            server.write_all(&stream[500..]).await.unwrap();
            drop(server);
            client.read_to_end(&mut received).await.unwrap();
            received
        };
        let (ended, received) = tokio::join!(relaying, scene);
        ended.unwrap();
        let received = messages_in(&received);
        let opcodes: Vec<u16> = received.iter().map(|(opcode, _)| *opcode).collect();
        assert_eq!(opcodes, [304, 60_001, 4, 305]);
        let others: Vec<_> = received
            .into_iter()
            .filter(|(opcode, _)| *opcode != 60_001)
            .collect();
        assert_eq!(others, messages_in(&stream));
        assert_eq!(gaps.sent(), 1);
    }

    #[tokio::test]
    async fn a_gap_reaches_a_client_whose_server_says_nothing() {
        let gaps = Gaps::default();
        let mut requests = gaps.open(Channel::Main);
        let (_server, from) = duplex(64);
        let (to, mut client) = duplex(64);
        let (acks, passed) = (Acks::default(), Passed::default());
        let relaying = downstream(
            from,
            to,
            Framing::new(Header::Mini),
            &mut requests,
            &acks,
            &passed,
        );
        let scene = async {
            gaps.ask(Channel::Main, Some(60_001)).unwrap();
            let mut received = vec![0; 6 + gap::BODY.len()];
            client.read_exact(&mut received).await.unwrap();
            received
        };
        tokio::select! {
            ended = relaying => panic!("the server is still there: {ended:?}"),
            received = scene => assert_eq!(messages_in(&received), [(60_001, gap::BODY.to_vec())]),
        }
    }

    #[tokio::test]
    async fn an_early_ack_is_held_and_what_follows_it_is_not() {
        let (acks, passed) = (Acks::default(), Passed::default());
        acks.asked_for(20);
        acks.gap_sent();
        let (mut client, from) = duplex(1 << 10);
        let (to, mut server) = duplex(1 << 10);
        let ack = message(Header::Mini, ACK, &[]);
        let key = message(Header::Mini, 101, &[1, 2, 3, 4]);
        let relaying = upstream(from, to, Framing::new(Header::Mini), &acks, &passed);
        let scene = async {
            // Cut within the header, so that no part of it may have gone before.
            client.write_all(&ack[..3]).await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(&[&ack[3..], &key].concat()).await.unwrap();
            let mut received = vec![0; key.len()];
            server.read_exact(&mut received).await.unwrap();
            assert_eq!(received, key);
            (0..20).for_each(|_| acks.server_sent());
            let mut received = vec![0; ack.len()];
            server.read_exact(&mut received).await.unwrap();
            assert_eq!(received, ack);
            client.write_all(&key[..4]).await.unwrap();
            drop(client);
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, key[..4], "a torn message stays torn");
        };
        let (ended, ()) = tokio::join!(relaying, scene);
        ended.unwrap();
    }
}
