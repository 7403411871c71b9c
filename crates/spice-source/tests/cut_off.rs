//! Links that end behind any byte, and floods in their place: each is refused with a reason, and the session goes on.

mod common;

use common::{Client, assert_refused, assert_started, bind, rate, within};
use shakenfist_spice_protocol::link::SpiceLinkMess;
use shakenfist_spice_protocol::{ChannelType, capabilities};
use spice_source::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_link_cut_off_behind_any_byte_is_refused_and_the_session_goes_on() {
    let mut source = bind(Config {
        rate: rate(100),
        ..Config::default()
    })
    .await;
    let mut client = Client::connect(source.port(), None);
    client.surface().await;
    assert_started(&mut source, 1).await;

    let link = SpiceLinkMess::new(0, ChannelType::Main, 0, capabilities::DEFAULT_COMMON, 0).serialize();
    for bytes in 0..link.len() {
        let mut peer = TcpStream::connect(("127.0.0.1", source.port())).await.unwrap();
        peer.write_all(&link[..bytes]).await.unwrap();
        peer.shutdown().await.unwrap();
        let _ = within("its end", peer.read_to_end(&mut Vec::new())).await;
        assert_refused(&mut source, "connection lost").await;
    }
    // The whole of it, and then no ticket.
    let mut peer = TcpStream::connect(("127.0.0.1", source.port())).await.unwrap();
    peer.write_all(&link).await.unwrap();
    peer.shutdown().await.unwrap();
    let _ = within("its end", peer.read_to_end(&mut Vec::new())).await;
    assert_refused(&mut source, "connection lost").await;

    client.draw().await;
    assert_eq!(source.stats().active_sessions, 1);
}

#[tokio::test]
async fn a_flood_in_place_of_a_link_is_not_read() {
    const MUCH: usize = 256 << 20;
    let mut source = bind(Config::default()).await;
    let mut peer = TcpStream::connect(("127.0.0.1", source.port())).await.unwrap();
    let flood = async {
        let mut sent = 0;
        // Until the source hangs up.
        while sent < MUCH && peer.write_all(&[b'x'; 65_536]).await.is_ok() {
            sent += 65_536;
        }
        sent
    };
    let sent = within("the end of a flood", flood).await;
    assert!(sent < MUCH, "the source reads whatever comes");
    assert_refused(&mut source, "not a SPICE link").await;
}
