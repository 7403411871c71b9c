//! Peers that misbehave: each ends its own connection, and nothing else.

mod common;

use std::time::Duration;

use common::{
    Client, RawChannel, assert_ended, assert_refused, assert_started, bind, eventually, next_event, rate,
    within,
};
use shakenfist_spice_protocol::link::{SpiceLinkMess, perform_link};
use shakenfist_spice_protocol::messages::{AckSync, DisplayInit, Ping, SetAck, WireType, make_message};
use shakenfist_spice_protocol::{
    ChannelType, SpiceError, capabilities, display_client, display_server, inputs_client, main_client,
    main_server,
};
use spice_source::{Config, DrawRate, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// Reads to the end. A reset is an end, too: the server closed with something unread.
async fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = within("the end of a connection", stream.read_to_end(&mut bytes)).await;
    bytes
}

/// The error code of a link reply, which follows its 16 bytes of header.
fn link_error(reply: &[u8]) -> SpiceError {
    SpiceError::from_u32(u32::from_le_bytes(reply[16..20].try_into().unwrap()))
}

fn link_message(channel: ChannelType, session: u32) -> Vec<u8> {
    SpiceLinkMess::new(session, channel, 0, capabilities::DEFAULT_COMMON, 0).serialize()
}

#[tokio::test]
async fn bad_links_are_refused_and_the_session_goes_on() {
    let mut source = bind(Config {
        rate: rate(100),
        ..Config::default()
    })
    .await;
    let mut client = Client::connect(source.port(), None);
    client.surface().await;
    assert_started(&mut source, 1).await;

    let mut wrong_version = link_message(ChannelType::Main, 0);
    wrong_version[4] = 9;
    let mut huge = link_message(ChannelType::Main, 0);
    huge[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut too_many_capabilities = link_message(ChannelType::Main, 0);
    too_many_capabilities[22..26].copy_from_slice(&u32::MAX.to_le_bytes());
    let no_mini_header =
        SpiceLinkMess::new(0, ChannelType::Main, 0, capabilities::AUTH_SELECTION, 0).serialize();
    for (sent, code, reason) in [
        (
            b"GET / HTTP/1.1\r\n".to_vec(),
            Some(SpiceError::InvalidData),
            "not a SPICE link",
        ),
        (vec![0; 16], Some(SpiceError::InvalidMagic), "bad magic"),
        (wrong_version, Some(SpiceError::VersionMismatch), "version"),
        (huge, Some(SpiceError::InvalidData), "too large"),
        (too_many_capabilities, Some(SpiceError::InvalidData), "too large"),
        (no_mini_header, Some(SpiceError::InvalidData), "MINI_HEADER"),
        (
            link_message(ChannelType::Playback, 1),
            Some(SpiceError::ChannelUnavailable),
            "no channel of type 5",
        ),
        (
            link_message(ChannelType::Display, 77),
            Some(SpiceError::BadConnectionId),
            "no session 77",
        ),
        (
            link_message(ChannelType::Main, 1),
            Some(SpiceError::BadConnectionId),
            "no session 1",
        ),
        (vec![], None, "connection lost"),
        (b"REDQ".to_vec(), None, "connection lost"),
    ] {
        let mut peer = connect(source.port()).await;
        peer.write_all(&sent).await.unwrap();
        peer.shutdown().await.unwrap();
        let reply = read_to_end(peer).await;
        if let Some(code) = code {
            assert_eq!(link_error(&reply), code, "{reason}");
        }
        assert_refused(&mut source, reason).await;
    }

    client.draw().await;
    assert_eq!((source.stats().active_sessions, source.stats().refused), (1, 11));
}

#[tokio::test]
async fn tickets_that_cannot_be_read_are_refused() {
    let mut source = bind(Config::default()).await;
    for (mechanism, code, reason) in [
        (1_u32, SpiceError::PermissionDenied, "ticket could not be read"),
        (2, SpiceError::InvalidData, "unsupported auth mechanism"),
    ] {
        let mut peer = connect(source.port()).await;
        let reply = within("a link", perform_link(&mut peer, 0, ChannelType::Main, 0))
            .await
            .unwrap();
        assert_eq!(reply.error, SpiceError::Ok);
        peer.write_all(&mechanism.to_le_bytes()).await.unwrap();
        if mechanism == 1 {
            peer.write_all(&[7; 128]).await.unwrap();
        }
        assert_eq!(read_to_end(peer).await, code.to_u32().to_le_bytes());
        assert_refused(&mut source, reason).await;
    }
}

#[tokio::test]
async fn one_that_stalls_in_the_link_is_cut_off_in_time() {
    let mut source = bind(Config {
        link_deadline: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let silent = connect(source.port()).await;
    assert!(read_to_end(silent).await.is_empty());
    assert_refused(&mut source, "no complete SPICE link within 300ms").await;

    let mut halfway = connect(source.port()).await;
    within("a link", perform_link(&mut halfway, 0, ChannelType::Main, 0))
        .await
        .unwrap();
    assert!(read_to_end(halfway).await.is_empty());
    assert_refused(&mut source, "no complete SPICE link within 300ms").await;
}

#[tokio::test]
async fn connections_are_limited_and_a_session_among_them_goes_on() {
    let mut source = bind(Config {
        rate: rate(100),
        ..Config::default()
    })
    .await;
    let mut client = Client::connect(source.port(), None);
    client.draw().await;
    assert_started(&mut source, 1).await;

    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(connect(source.port()).await);
    }
    // 64, of which the session has up to four.
    for _ in 0..36 {
        assert_refused(&mut source, "more than 64 connections").await;
    }
    client.draw().await;

    drop(crowd);
    client.close().await;
    while next_event(&mut source).await
        != (Event::SessionEnded {
            session: 1,
            reason: "client disconnected".into(),
        })
    {}
    // Whoever has gone away is soon no longer counted.
    let newcomer = async {
        while RawChannel::link(source.port(), 0, ChannelType::Main, None)
            .await
            .is_err()
        {}
    };
    within("room for a newcomer", newcomer).await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_given_up() {
    let silence_limit = Duration::from_millis(300);
    let mut source = bind(Config {
        silence_limit,
        ping_interval: Duration::from_millis(50),
        ..Config::default()
    })
    .await;
    let mut main = RawChannel::link(source.port(), 0, ChannelType::Main, None)
        .await
        .unwrap();
    assert_started(&mut source, 1).await;
    assert_ended(&mut source, 1, "silent for 300ms").await;
    while main.receive().await.is_some() {}
}

#[tokio::test]
async fn a_client_that_asks_without_reading_is_cut_off() {
    let mut source = bind(Config::default()).await;
    let mut main = RawChannel::link(source.port(), 0, ChannelType::Main, None)
        .await
        .unwrap();
    assert_started(&mut source, 1).await;
    let questions = make_message(main_client::ATTACH_CHANNELS, &[]).repeat(10_000);
    let flood = async { while main.stream.write_all(&questions).await.is_ok() {} };
    within("an end of the flood", flood).await;
    let Event::SessionEnded { session: 1, reason } = next_event(&mut source).await else {
        panic!("not ended")
    };
    // The end may be seen as the reset that it causes.
    assert!(
        reason.contains("does not read") || reason.contains("disconnected"),
        "{reason}"
    );
}

/// A session by hand, as far as a display channel that has been told of its surface.
async fn raw_display(port: u16) -> (RawChannel, RawChannel) {
    let main = RawChannel::link(port, 0, ChannelType::Main, None).await.unwrap();
    let mut display = RawChannel::link(port, 1, ChannelType::Display, None)
        .await
        .unwrap();
    let init = DisplayInit {
        cache_id: 1,
        cache_size: 0,
        glz_dict_id: 1,
        glz_dict_window: 0,
    };
    display.send(display_client::INIT, &init).await;
    (main, display)
}

#[tokio::test]
async fn drawing_waits_for_acknowledgements() {
    let ping_interval = Duration::from_millis(20);
    let source = bind(Config {
        rate: rate(20_000),
        ping_interval,
        ..Config::default()
    })
    .await;
    let (mut main, mut display) = raw_display(source.port()).await;
    let set_ack = SetAck::decode(display.receive_opcode(display_server::SET_ACK).await.payload()).unwrap();
    let two_windows = u64::from(2 * set_ack.window);

    let reader = tokio::spawn(async move {
        for _ in 0..two_windows {
            display.receive_opcode(display_server::DRAW_COPY).await;
        }
        display
    });
    let mut display = within("two windows of draws", reader).await.unwrap();
    // Acknowledging without having agreed to do so counts for nothing.
    display.send_empty(display_client::ACK).await;
    for _ in 0..10 {
        main.receive_opcode(main_server::PING).await;
    }
    assert_eq!(source.stats().draws_sent, two_windows);

    display
        .send(
            display_client::ACK_SYNC,
            &AckSync {
                generation: set_ack.generation,
            },
        )
        .await;
    display.send_empty(display_client::ACK).await;
    for _ in 0..set_ack.window {
        display.receive_opcode(display_server::DRAW_COPY).await;
    }
    eventually("another window", || {
        source.stats().draws_sent == two_windows + u64::from(set_ack.window)
    })
    .await;
}

#[tokio::test]
async fn a_display_that_does_not_read_blocks_only_itself() {
    let source = bind(Config {
        rate: DrawRate::MAX,
        ping_interval: Duration::from_millis(20),
        ..Config::default()
    })
    .await;
    let (mut main, mut display) = raw_display(source.port()).await;
    display
        .send(display_client::ACK_SYNC, &AckSync { generation: 1 })
        .await;
    // It acknowledges all the while what it does not read: only the socket's bounds hold the drawing back.
    let mut before = None;
    let stuck = async {
        while before != Some(source.stats().draws_sent) || before == Some(0) {
            before = Some(source.stats().draws_sent);
            for _ in 0..100 {
                display.send_empty(display_client::ACK).await;
            }
            for _ in 0..10 {
                let ping = Ping::decode(main.receive_opcode(main_server::PING).await.payload()).unwrap();
                main.send(main_client::PONG, &ping.pong()).await;
            }
        }
    };
    within("the drawing to stop", stuck).await;
    assert_eq!(source.stats().active_sessions, 1);
    // It goes on with the reading.
    let sent = source.stats().draws_sent;
    let reader = tokio::spawn(async move { while display.receive().await.is_some() {} });
    eventually("more draws", || source.stats().draws_sent > sent).await;
    reader.abort();
}

#[tokio::test]
async fn a_side_channel_misbehaves_alone_and_may_come_back() {
    let mut source = bind(Config::default()).await;
    let mut main = RawChannel::link(source.port(), 0, ChannelType::Main, None)
        .await
        .unwrap();
    assert_started(&mut source, 1).await;
    main.send_empty(main_client::ATTACH_CHANNELS).await;
    main.receive_opcode(main_server::CHANNELS_LIST).await;

    let mut inputs = RawChannel::link(source.port(), 1, ChannelType::Inputs, None)
        .await
        .unwrap();
    assert!(inputs.receive().await.is_some());
    let mut twin = RawChannel::link(source.port(), 1, ChannelType::Inputs, None)
        .await
        .unwrap();
    assert!(twin.receive().await.is_none());
    assert_refused(&mut source, "has its Inputs channel already").await;

    let mut too_large = inputs_client::KEY_DOWN.to_le_bytes().to_vec();
    too_large.extend(u32::MAX.to_le_bytes());
    inputs.stream.write_all(&too_large).await.unwrap();
    assert!(inputs.receive().await.is_none());

    let mut inputs = RawChannel::link(source.port(), 1, ChannelType::Inputs, None)
        .await
        .unwrap();
    assert!(inputs.receive().await.is_some());
    main.send_empty(main_client::ATTACH_CHANNELS).await;
    main.receive_opcode(main_server::CHANNELS_LIST).await;
    assert_eq!(source.stats().active_sessions, 1);
}
