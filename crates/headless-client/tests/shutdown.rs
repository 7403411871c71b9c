//! How a client ends: when asked to, at once; otherwise with a code and a reason.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Place, Server};
use nix::sys::signal::Signal;
use serde_json::json;
use spice_source::{Config, Password};

#[test]
fn signals_end_a_busy_session_and_leave_no_socket() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::drawing(20_000);
        let place = Place::new();
        let client = place.client(&["--direct", &server.address()]);
        server.await_session();
        let mut control = place.connect();
        control.await_surface();

        client.signal(signal);
        let ended = client.ended();
        assert_eq!(ended.status.code(), Some(0), "{signal}: {ended:?}");
        assert!(!place.socket().exists(), "{signal}");
        assert!(control.hung_up());
    }
}

#[test]
fn signals_end_it_while_it_connects() {
    // It is connected to and never answers.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    let client = place.client(&["--direct", &mute.local_addr().unwrap().to_string()]);
    let _connection = mute.accept().unwrap();
    client.signal(Signal::SIGTERM);
    assert_eq!(client.ended().status.code(), Some(0));
    assert!(!place.socket().exists());
}

#[test]
fn the_end_of_standard_input_ends_it() {
    let mut server = Server::drawing(100);
    let place = Place::new();
    let mut client = place.client(&["--direct", &server.address()]);
    server.await_session();
    client.close_stdin();
    assert_eq!(client.ended().status.code(), Some(0));
    assert!(!place.socket().exists());
}

#[test]
fn a_long_sample_does_not_delay_the_end() {
    let mut server = Server::drawing(100);
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let (mut sampling, mut many, mut quitting) = (place.connect(), place.connect(), place.connect());
    sampling.ask("sample", json!({"count": 1, "window_ms": 600_000}));
    many.ask("sample", json!({"count": 1_000_000, "window_ms": 10}));
    assert_eq!(quitting.call("quit", json!({})), json!({}));
    assert_eq!(client.ended().status.code(), Some(0));
    assert!(sampling.hung_up() && many.hung_up());
    assert!(!place.socket().exists());
}

#[test]
fn a_refused_password_is_said_and_never_shown() {
    const WRONG: &str = "wr0ng-p4ssw0rd";
    let password = Some(Password::new("the right one").unwrap());
    let server = Server::start(Config {
        password,
        ..Config::default()
    });
    let place = Place::new();
    let file = place.path().join("session.vv");
    let text = format!(
        "[virt-viewer]\ntype=spice\nhost=127.0.0.1\nport={}\npassword={WRONG}\n",
        server.port()
    );
    fs::write(&file, text).unwrap();

    for server in [
        ["--file", file.to_str().unwrap()],
        ["--direct", &server.address()],
    ] {
        let ended = place.client(&[&server[..], &["-vv"]].concat()).ended();
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(
            ended.stderr.contains("refused the password") && ended.stderr.contains("--file"),
            "{ended:?}"
        );
        assert!(!format!("{ended:?}").contains(WRONG), "{ended:?}");
        assert!(!place.socket().exists());
    }
}

#[test]
fn the_right_password_is_taken_and_never_shown() {
    const RIGHT: &str = "r1ght-p4ssw0rd";
    let mut server = Server::start(Config {
        password: Some(Password::new(RIGHT).unwrap()),
        ..Config::default()
    });
    let place = Place::new();
    let file = place.path().join("session.vv");
    let text = format!(
        "[virt-viewer]\ntype=spice\nhost=127.0.0.1\nport={}\npassword={RIGHT}\n",
        server.port()
    );
    fs::write(&file, text).unwrap();

    let mut client = place.client(&["--file", file.to_str().unwrap(), "-vv"]);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    let report = control.call("bug_report", json!({"window_ms": 0}));
    let mut zip = zip::ZipArchive::new(fs::File::open(report["path"].as_str().unwrap()).unwrap()).unwrap();
    for index in 0..zip.len() {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut zip.by_index(index).unwrap(), &mut bytes).unwrap();
        assert!(
            !bytes
                .windows(RIGHT.len())
                .any(|window| window == RIGHT.as_bytes())
        );
    }
    client.close_stdin();
    let ended = client.ended();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(
        ended.stderr.contains("surface"),
        "-vv says what happens: {ended:?}"
    );
    assert!(!format!("{ended:?}").contains(RIGHT), "{ended:?}");
}

#[test]
fn a_server_that_goes_is_a_lost_session() {
    let mut server = Server::drawing(100);
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    place.connect().await_surface();
    server.shut_down();
    let ended = client.ended();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains(&format!("lost the session with {}", server.address())),
        "{ended:?}"
    );
    assert!(!place.socket().exists());
}

#[test]
fn a_server_that_is_not_there_is_an_error_of_its_own() {
    // Bound and not listening: no other process gets the port, and connecting to it is refused.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Place::new().client(&["--direct", &address]).ended();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains(&format!("cannot connect to {address}")),
        "{ended:?}"
    );
}

#[test]
fn a_live_socket_is_never_taken_over_and_a_dead_ones_place_is() {
    let mut server = Server::drawing(0);
    let place = Place::new();
    let first = place.client(&["--direct", &server.address()]);
    server.await_session();
    assert_eq!(
        fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let second = place.client(&["--direct", &server.address()]).ended();
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    assert!(
        second.stderr.contains(place.socket().to_str().unwrap()),
        "{second:?}"
    );
    place.connect().await_surface(); // the first one's session goes on

    first.signal(Signal::SIGKILL);
    first.ended();
    assert!(place.socket().exists(), "a killed client leaves its socket");
    let _third = place.client(&["--direct", &server.address()]);
    server.await_session();
    place.connect().await_surface();
}

#[test]
fn the_ninth_peer_is_turned_away_and_nobody_else() {
    let mut server = Server::drawing(0);
    let place = Place::new();
    let _client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let mut peers: Vec<_> = (0..8).map(|_| place.connect()).collect();

    let mut ninth = place.connect_mutely();
    assert_eq!(ninth.answer()["error"]["code"], "busy");
    assert!(ninth.hung_up());
    for peer in &mut peers {
        peer.call("status", json!({}));
    }
}
