//! Sessions of a real client, the renderer that people's clients are built on, with a source in this process.

mod common;

use std::time::Duration;

use common::{Client, assert_ended, assert_refused, assert_started, bind, eventually, rate, within};
use shakenfist_spice_renderer::{ChannelEvent, InputEvent};
use spice_source::{Config, DrawRate, Password, Source, SurfaceSize};

#[tokio::test]
async fn an_idle_session_shows_its_surface_and_is_pinged() {
    let surface = SurfaceSize::new(640, 480).unwrap();
    let mut source = bind(Config {
        surface,
        ping_interval: Duration::from_millis(20),
        ..Config::default()
    })
    .await;
    let mut client = Client::connect(source.port(), None);
    assert_eq!(client.surface().await, (640, 480));
    assert_started(&mut source, 1).await;
    assert!(
        client
            .until(|event, _| matches!(event, ChannelEvent::PingInterval { .. }))
            .await
    );
    assert!(
        client.pixels().chunks_exact(4).all(|pixel| pixel[..3] == [0; 3]),
        "nothing was drawn"
    );
    assert_eq!(source.stats().draws_sent, 0);
}

#[tokio::test]
async fn under_a_rate_every_draw_changes_pixels() {
    let source = bind(Config {
        rate: rate(200),
        ..Config::default()
    })
    .await;
    let mut client = Client::connect(source.port(), None);
    client.surface().await;
    let mut before = client.pixels().to_vec();
    for number in 0..20 {
        client.draw().await;
        assert!(client.pixels() != before, "draw {number} changed nothing");
        before = client.pixels().to_vec();
    }
    assert!(source.stats().draws_sent >= 20);
}

#[tokio::test]
async fn the_rate_can_be_changed_at_run_time() {
    let source = bind(Config::default()).await;
    let mut client = Client::connect(source.port(), None);
    client.surface().await;
    assert_eq!(source.stats().draws_sent, 0);

    source.set_rate(rate(500));
    client.draw().await;
    source.set_rate(DrawRate::MAX);
    for _ in 0..100 {
        client.draw().await;
    }

    source.set_rate(DrawRate::IDLE);
    // What is under way still comes; then nothing does, for as long as thousands of draws took before.
    let at_rest = async {
        let mut before = None;
        while before != Some(source.stats().draws_sent) {
            before = Some(source.stats().draws_sent);
            let _ = tokio::time::timeout(Duration::from_millis(200), client.until(|_, _| false)).await;
        }
    };
    within("an end of the drawing", at_rest).await;

    source.set_rate(rate(100));
    client.draw().await;
}

#[tokio::test]
async fn sessions_follow_one_another() {
    let mut source = bind(Config {
        rate: rate(100),
        ..Config::default()
    })
    .await;
    for session in 1..=3 {
        let mut client = Client::connect(source.port(), None);
        client.surface().await;
        client.draw().await;
        assert_started(&mut source, session).await;
        assert_eq!(source.stats().active_sessions, 1);
        client.close().await;
        assert_ended(&mut source, session, "client disconnected").await;
        assert_eq!(
            (source.stats().sessions, source.stats().active_sessions),
            (session, 0)
        );
    }
}

#[tokio::test]
async fn a_second_client_takes_over() {
    let mut source = bind(Config::default()).await;
    let mut first = Client::connect(source.port(), None);
    first.surface().await;
    assert_started(&mut source, 1).await;

    let mut second = Client::connect(source.port(), None);
    second.surface().await;
    assert_ended(&mut source, 1, "took over as session 2").await;
    assert_started(&mut source, 2).await;
    let _ = first.ended().await;
    source.set_rate(rate(100));
    second.draw().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_disturbs_nobody() {
    let password = Some(Password::new("open sesame").unwrap());
    let mut source = bind(Config {
        password,
        rate: rate(100),
        ..Config::default()
    })
    .await;
    let mut client = Client::connect(source.port(), Some("open sesame"));
    client.surface().await;
    assert_started(&mut source, 1).await;

    for wrong in [None, Some("open barley"), Some("open sesam")] {
        let error = Client::connect(source.port(), wrong).ended().await.unwrap_err();
        assert!(format!("{error:#}").contains("PermissionDenied"), "{error:#}");
        assert_refused(&mut source, "wrong password").await;
    }
    client.draw().await;
    let stats = source.stats();
    assert_eq!((stats.sessions, stats.active_sessions, stats.refused), (1, 1, 3));
}

#[tokio::test]
async fn without_a_password_any_ticket_will_do() {
    let source = bind(Config::default()).await;
    Client::connect(source.port(), Some("whatever")).surface().await;
}

#[tokio::test]
async fn keys_and_pointer_movements_are_counted() {
    let source = bind(Config::default()).await;
    let mut client = Client::connect(source.port(), None);
    client.surface().await;
    client.inputs.send(InputEvent::KeyDown(0x1e)).await.unwrap();
    client.inputs.send(InputEvent::KeyUp(0x9e)).await.unwrap();
    // The client may tell of its lock keys besides.
    eventually("two input messages", || source.stats().input_messages >= 2).await;
}

#[tokio::test]
async fn shutting_down_ends_the_session_and_frees_the_port() {
    let mut source = bind(Config {
        rate: DrawRate::MAX,
        ..Config::default()
    })
    .await;
    let mut client = Client::connect(source.port(), None);
    client.draw().await;
    assert_started(&mut source, 1).await;

    within("the end of the source", source.shutdown()).await;
    assert_ended(&mut source, 1, "shutting down").await;
    assert_eq!(source.next_event().await, None);
    let _ = client.ended().await;
    Source::bind(Config {
        port: source.port(),
        ..Config::default()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_busy_port_is_said_to_be_busy() {
    let source = bind(Config::default()).await;
    let Err(error) = Source::bind(Config {
        port: source.port(),
        ..Config::default()
    })
    .await
    else {
        panic!("the port is in use");
    };
    assert!(
        error
            .to_string()
            .contains(&format!("port {} of 127.0.0.1 is in use", source.port())),
        "{error}"
    );
}
