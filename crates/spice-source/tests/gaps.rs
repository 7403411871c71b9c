//! Gaps, from the source and through the proxy: each reaches the client, and the session goes on as it was.

mod common;

use common::{Client, RawChannel, bind, eventually, next_event, rate, within};
use shakenfist_spice_protocol::logging::warn_once_keys;
use shakenfist_spice_protocol::messages::{AckSync, SetAck, WireType};
use shakenfist_spice_protocol::{ChannelType, display_client, display_server, main_client, main_server};
use spice_source::{Channel, Config, DrawRate, Event, GapError, Password, Proxy};

async fn proxy_to(port: u16) -> Proxy {
    let mut proxy = Proxy::bind(0, format!("127.0.0.1:{port}")).await.unwrap();
    assert_eq!(
        proxy.next_event().await,
        Some(Event::Listening { port: proxy.port() })
    );
    proxy
}

/// Whether this process's client has met that gap. Tests here use numbers of their own.
fn met(channel: &str, opcode: u16) -> bool {
    warn_once_keys().contains(&format!("{channel}:hexdump:{opcode}").as_str())
}

#[tokio::test]
async fn the_source_sends_a_gap_on_any_channel() {
    let source = bind(Config::default()).await;
    assert_eq!(
        source.send_gap(Channel::Main, None),
        Err(GapError::NotOpen(Channel::Main))
    );
    let mut client = Client::connect(source.port(), None);
    client.surface().await;
    for (number, (channel, name)) in [
        (Channel::Main, "main"),
        (Channel::Display, "display"),
        (Channel::Inputs, "inputs"),
        (Channel::Cursor, "cursor"),
    ]
    .into_iter()
    .enumerate()
    {
        let opcode = 2000 + number as u16;
        // The client opens its channels one after the other.
        eventually("an open channel", || {
            source.send_gap(channel, Some(opcode)).is_ok()
        })
        .await;
        eventually("the gap", || met(name, opcode)).await;
    }
    source.set_rate(rate(100));
    client.draw().await;
    assert_eq!(source.stats().gaps_sent, 4);
}

#[tokio::test]
async fn a_gap_among_many_draws_tears_none_of_them() {
    let source = bind(Config {
        rate: DrawRate::MAX,
        ..Config::default()
    })
    .await;
    let mut proxy = proxy_to(source.port()).await;
    let mut client = Client::connect(proxy.port(), None);
    client.draw().await;
    for opcode in 3000..3020 {
        proxy.send_gap(Channel::Display, Some(opcode)).unwrap();
        source.send_gap(Channel::Display, Some(opcode + 100)).unwrap();
        for _ in 0..20 {
            client.draw().await;
        }
    }
    eventually("all gaps sent", || proxy.stats().gaps_sent == 20).await;
    // The session is alive, and in step.
    for _ in 0..1000 {
        client.draw().await;
    }
    assert!(met("display", 3019) && met("display", 3119));
    client.close().await;
    assert_eq!(next_of(&mut proxy).await, Event::SessionStarted { session: 1 });
    assert!(matches!(
        next_of(&mut proxy).await,
        Event::SessionEnded { session: 1, .. }
    ));
}

async fn next_of(proxy: &mut Proxy) -> Event {
    within("an event", proxy.next_event()).await.expect("it runs")
}

#[tokio::test]
async fn through_the_proxy_the_pixels_are_the_same() {
    let source = bind(Config {
        rate: rate(300),
        ..Config::default()
    })
    .await;
    let proxy = proxy_to(source.port()).await;
    let mut client = Client::connect(proxy.port(), None);
    // A second client would take over: a source of its own draws the same for it.
    let direct_source = bind(Config {
        rate: rate(300),
        ..Config::default()
    })
    .await;
    let mut direct = Client::connect(direct_source.port(), None);
    for number in 0..60 {
        if number == 20 {
            proxy.send_gap(Channel::Display, None).unwrap();
        }
        client.draw().await;
        direct.draw().await;
        assert!(client.pixels() == direct.pixels(), "draw {number}");
    }
    eventually("the gap", || proxy.stats().gaps_sent == 1).await;
}

#[tokio::test]
async fn sessions_follow_one_another_and_passwords_go_through() {
    let source = bind(Config {
        password: Some(Password::new("open sesame").unwrap()),
        ..Config::default()
    })
    .await;
    let mut proxy = proxy_to(source.port()).await;
    for session in 1..=20 {
        let mut client = Client::connect(proxy.port(), Some("open sesame"));
        client.surface().await;
        client.close().await;
        assert_eq!(next_of(&mut proxy).await, Event::SessionStarted { session });
        assert!(matches!(next_of(&mut proxy).await, Event::SessionEnded { .. }));
    }
    let error = Client::connect(proxy.port(), Some("wrong"))
        .ended()
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains("PermissionDenied"), "{error:#}");
    eventually("all ended", || proxy.stats().active_sessions == 0).await;
    assert_eq!(proxy.stats().sessions, 20);
}

/// A server that got an ACK too many would count below zero, and stop.
#[tokio::test]
async fn the_server_gets_no_ack_that_a_gap_brought() {
    let source = bind(Config::default()).await;
    let proxy = proxy_to(source.port()).await;
    let mut main = RawChannel::link(proxy.port(), 0, ChannelType::Main, None)
        .await
        .unwrap();
    let init = main.receive_opcode(main_server::INIT).await;
    let session = shakenfist_spice_protocol::messages::MainInit::decode(init.payload())
        .unwrap()
        .session_id;
    main.send_empty(main_client::ATTACH_CHANNELS).await;
    main.receive_opcode(main_server::CHANNELS_LIST).await;
    let mut display = RawChannel::link(proxy.port(), session, ChannelType::Display, None)
        .await
        .unwrap();
    display
        .send(
            display_client::INIT,
            &shakenfist_spice_protocol::messages::DisplayInit {
                cache_id: 1,
                cache_size: 1 << 20,
                glz_dict_id: 1,
                glz_dict_window: 0,
            },
        )
        .await;
    let set_ack = display.receive_opcode(display_server::SET_ACK).await;
    let SetAck { generation, window } = SetAck::decode(set_ack.payload()).unwrap();
    display
        .send(display_client::ACK_SYNC, &AckSync { generation })
        .await;
    proxy.send_gap(Channel::Display, Some(4000)).unwrap();
    display.receive_opcode(4000).await;
    // One that counts the gap owes the ACK after a window's worth less one, and may send it earlier.
    display.send_empty(display_client::ACK).await;
    display
        .send(display_client::ACK_SYNC, &AckSync { generation })
        .await;
    // Headers of 6 bytes: ATTACH_CHANNELS, INIT and two ACK_SYNCs, but no ACK.
    let without_ack = 6 + (6 + 14) + 2 * (6 + 4);
    eventually("what came behind the ACK", || {
        proxy.stats().bytes_to_server == without_ack
    })
    .await;
    source.set_rate(rate(10_000));
    for _ in 0..window {
        display.receive_opcode(display_server::DRAW_COPY).await;
    }
    eventually("the ACK", || proxy.stats().bytes_to_server == without_ack + 6).await;
}

#[tokio::test]
async fn what_cannot_be_passed_on_is_told_and_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let source = bind(Config::default()).await;
    let mut proxy = proxy_to(source.port()).await;
    let mut client = Client::connect(proxy.port(), None);
    client.surface().await;
    assert!(matches!(next_of(&mut proxy).await, Event::SessionStarted { .. }));
    for (garbage, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "not a SPICE link"),
        (b"REDQ\x02\0\0\0\x02\0\0\0\xff\xff\xff\xff", "too long"),
        (b"REDQ\x02\0\0\0\x02\0\0\0\x01\0\0\0?", "too short"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", proxy.port()))
            .await
            .unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut rest = Vec::new();
        let _ = within("the end", stream.read_to_end(&mut rest)).await;
        match next_of(&mut proxy).await {
            Event::Refused { reason: told } => assert!(told.contains(reason), "{told}"),
            other => panic!("{other:?}"),
        }
    }
    source.set_rate(rate(100));
    client.draw().await;

    let mut nowhere = {
        let taken = tokio::net::TcpSocket::new_v4().unwrap();
        taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        proxy_to(taken.local_addr().unwrap().port()).await
    };
    Client::connect(nowhere.port(), None).ended().await.unwrap_err();
    match next_of(&mut nowhere).await {
        Event::Refused { reason } => assert!(reason.contains("cannot reach the server"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn shutting_down_closes_every_connection() {
    let mut source = bind(Config::default()).await;
    let mut proxy = proxy_to(source.port()).await;
    let mut client = Client::connect(proxy.port(), None);
    client.surface().await;
    within("the end of the proxy", proxy.shutdown()).await;
    let _ = client.ended().await;
    assert!(matches!(
        next_event(&mut source).await,
        Event::SessionStarted { .. }
    ));
    assert!(matches!(
        next_event(&mut source).await,
        Event::SessionEnded { .. }
    ));
    Proxy::bind(proxy.port(), String::new()).await.unwrap();
}
