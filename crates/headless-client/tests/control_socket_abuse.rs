//! Peers of the control socket that misbehave: each loses its own connection, the session and the others' requests go on.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{Client, Control, Place, Server, TIMEOUT};
use serde_json::{Value, json};

fn session() -> (Server, Place, Client) {
    let mut server = Server::drawing(100);
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    place.connect().await_surface();
    (server, place, client)
}

fn raw(place: &Place) -> UnixStream {
    let stream = UnixStream::connect(place.socket()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// A connection that is served; those that others left are given up sooner or later.
fn connect_eventually(place: &Place) -> Control {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut control = place.connect_mutely();
        let hello =
            control.exchange_loosely("hello", json!({"client_name": "test", "protocol_version": "1.0"}));
        if hello["ok"] == true {
            return control;
        }
        assert_eq!(hello["error"]["code"], "busy", "{hello}");
        assert!(Instant::now() < deadline, "no connection is given up");
        std::thread::sleep(Duration::from_millis(10));
    }
}

trait Loosely {
    fn exchange_loosely(&mut self, method: &str, params: Value) -> Value;
}

impl Loosely for Control {
    /// Whoever is turned away is answered without an id.
    fn exchange_loosely(&mut self, method: &str, params: Value) -> Value {
        self.ask(method, params);
        self.answer()
    }
}

/// What the client holds, in KiB, where the system tells.
fn resident_kib(client: &Client) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", client.pid())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_line_without_an_end_is_cut_off_and_takes_no_memory() {
    const SENT: usize = 1 << 30;
    let (_server, place, client) = session();
    let before = resident_kib(&client);
    let mut peer = raw(&place);
    let mut sent = 0;
    // The client answers and hangs up: then nothing more can be written.
    while sent < SENT && peer.write_all(&[b'x'; 65_536]).is_ok() {
        sent += 65_536;
    }
    assert!(sent < SENT, "nobody reads a gigabyte of a line");
    let mut answer = String::new();
    let _ = peer.read_to_string(&mut answer);
    assert!(answer.contains("line_too_long"), "{answer:?}");
    let status = connect_eventually(&place).call("status", json!({}));
    assert_eq!(status["spice_connected"], true, "{status}");
    if let (Some(before), Some(after)) = (before, resident_kib(&client)) {
        assert!(after < before + 32 * 1024, "{before} KiB, then {after} KiB");
    }
}

#[test]
fn a_peer_that_never_reads_is_given_up_and_the_session_goes_on() {
    let (_server, place, client) = session();
    let before = resident_kib(&client);
    let mut peer = raw(&place);
    peer.write_all(
        b"{\"id\":1,\"method\":\"hello\",\"params\":{\"client_name\":\"t\",\"protocol_version\":\"1.0\"}}\n",
    )
    .unwrap();
    // Until the client waits for room for an answer, and then hangs up.
    let ask = b"{\"id\":2,\"method\":\"resource_counts\"}\n".repeat(100);
    let mut sent = 0_usize;
    while peer.write_all(&ask).is_ok() {
        sent += ask.len();
        assert!(
            sent < 1 << 30,
            "somebody takes requests whose answers nobody reads"
        );
    }
    let status = connect_eventually(&place).call("status", json!({}));
    assert_eq!(status["spice_connected"], true, "{status}");
    if let (Some(before), Some(after)) = (before, resident_kib(&client)) {
        assert!(after < before + 32 * 1024, "{before} KiB, then {after} KiB");
    }
}

#[test]
fn a_thousand_connections_leave_one_that_is_served() {
    let (_server, place, client) = session();
    let mut first = place.connect();
    // What the first report opens for those to come.
    first.call("bug_report", json!({"window_ms": 0}));
    let descriptors =
        |control: &mut Control| control.call("resource_counts", json!({}))["descriptors"].as_u64();
    let before = descriptors(&mut first);
    let mut held = Vec::new();
    for nth in 0..1_000 {
        // Every other one says something that is no request, and all are held for a while.
        let mut peer = raw(&place);
        if nth % 2 == 0 {
            let _ = peer.write_all(b"\x00\xff{]\n");
        }
        held.push(peer);
        if held.len() == 50 {
            held.clear();
        }
    }
    drop(held);
    let status = first.call("status", json!({}));
    assert_eq!(status["spice_connected"], true, "{status}");
    connect_eventually(&place).call("bug_report", json!({"window_ms": 0}));
    let deadline = Instant::now() + TIMEOUT;
    while descriptors(&mut first) > before {
        assert!(
            Instant::now() < deadline,
            "descriptors are left: {:?}, {before:?} before",
            descriptors(&mut first)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    first.call("quit", json!({}));
    assert_eq!(client.ended().status.code(), Some(0));
}
