//! Reports that nobody asks for on the control socket: each trigger brings a whole zip.

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use common::{Place, Server, TIMEOUT};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use spice_source::Channel;
use zip::ZipArchive;

/// Every member but the screenshot.
const MEMBERS: [&str; 5] = [
    "metadata.json",
    "session.json",
    "channel-state.json",
    "notifications.json",
    "runtime-metrics.json",
];

fn member(path: &Path, name: &str) -> Value {
    let mut zip = ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut text = String::new();
    zip.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The zips in a directory; one that has its name is whole.
fn zips(dir: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "zip"))
        .collect()
}

/// Waits until there are so many. (A directory tells nobody, so it is looked at again and again.)
fn await_zips(dir: &Path, number: usize) -> BTreeSet<PathBuf> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let found = zips(dir);
        if found.len() >= number {
            return found;
        }
        assert!(Instant::now() < deadline, "{number} zips, but: {found:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// What every report must hold, whatever brought it about.
fn assert_whole(path: &Path, report_type: &str, name: &str) {
    let file = path.file_name().unwrap().to_str().unwrap();
    assert!(file.starts_with(&format!("headless-client-{name}-")), "{file}");
    for name in MEMBERS {
        member(path, name);
    }
    let metadata = member(path, "metadata.json");
    assert_eq!(metadata["report_type"], report_type);
    let metrics = member(path, "runtime-metrics.json");
    assert_eq!(metrics["sample_window_ms"], 2000, "{metrics}");
    assert!(metrics.get("missing").is_none(), "{metrics}");
    let window = &metadata["window"];
    let moment = |value: &Value| value.as_u64().unwrap();
    assert!(moment(&metadata["triggered_monotonic_ns"]) <= moment(&window["start_monotonic_ns"]));
}

#[test]
fn a_signal_brings_a_report_and_the_session_goes_on() {
    let mut server = Server::drawing(100);
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    place.connect().await_surface();
    for number in 1..=2 {
        client.signal(Signal::SIGUSR1);
        await_zips(&place.reports(), number);
    }
    for zip in zips(&place.reports()) {
        assert_whole(&zip, "signal", "bugreport");
        assert_eq!(member(&zip, "session.json")["connected"], true);
    }
    place.connect().await_surface();
}

#[test]
fn sixty_gaps_bring_fifty_reports_and_each_gap_is_noted() {
    let mut server = Server::drawing(0);
    let place = Place::new();
    let gaps = place.path().join("gaps");
    let _client = place.client(&[
        "--direct",
        &server.address(),
        "--pedantic",
        "--pedantic-dir",
        gaps.to_str().unwrap(),
    ]);
    server.await_session();
    place.connect().await_surface();
    for opcode in 60_000..60_060 {
        server.send_gap(Channel::Display, opcode);
        server.send_gap(Channel::Display, opcode); // a gap that was met is not met again
    }
    let found = await_zips(&gaps, 50);
    for zip in &found {
        assert_whole(zip, "pedantic", "pedantic");
    }
    let told: BTreeSet<String> = found
        .iter()
        .map(|zip| member(zip, "metadata.json")["description"].to_string())
        .collect();
    assert_eq!(told.len(), 50, "each of another gap: {told:?}");

    // One that was asked for comes behind all of them, in its own place, and knows of every gap.
    let asked = place.connect().call("bug_report", json!({"window_ms": 2000}));
    let notifications = member(Path::new(asked["path"].as_str().unwrap()), "notifications.json");
    let gaps_noted = notifications
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["source"] == "Gap")
        .count();
    assert_eq!(gaps_noted, 60, "{notifications}");
    assert_eq!((zips(&gaps).len(), zips(&place.reports()).len()), (50, 1));
}

#[test]
fn without_pedantic_a_gap_is_noted_and_no_more() {
    let mut server = Server::drawing(0);
    let place = Place::new();
    let _client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    server.send_gap(Channel::Main, 60_000);
    let asked = control.call("bug_report", json!({"window_ms": 200}));
    let notifications = member(Path::new(asked["path"].as_str().unwrap()), "notifications.json");
    assert_eq!(
        notifications[0]["message"], "main:hexdump:60000",
        "{notifications}"
    );
    assert_eq!(zips(&place.reports()).len(), 1);
}

#[test]
fn snapshots_come_by_themselves_and_the_newest_stay() {
    let mut server = Server::drawing(0);
    let place = Place::new();
    let _client = place.client(&[
        "--direct",
        &server.address(),
        "--auto-snapshot-interval",
        "1",
        "--auto-snapshot-cap",
        "1",
    ]);
    server.await_session();
    let first = await_zips(&place.reports(), 1);
    assert_whole(first.first().unwrap(), "auto-snapshot", "auto-snapshot");
    let deadline = Instant::now() + TIMEOUT;
    while !zips(&place.reports()).is_disjoint(&first) {
        assert!(Instant::now() < deadline, "the first one goes for a newer one");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(zips(&place.reports()).len() <= 2);
}

#[test]
fn the_loss_of_a_session_is_reported_and_fails_the_client() {
    let mut server = Server::drawing(100);
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    place.connect().await_surface();
    server.shut_down();
    let ended = client.ended();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let found = zips(&place.reports());
    assert_eq!(found.len(), 1, "{found:?}");
    let report = found.first().unwrap();
    assert_whole(report, "disconnect", "disconnect");
    let session = member(report, "session.json");
    assert_eq!(session["connected"], false);
    assert_eq!(session["surfaces"][0]["width"], 1024, "as they were: {session}");
    let metadata = member(report, "metadata.json");
    assert!(
        metadata["description"].as_str().unwrap().contains("channel"),
        "{metadata}"
    );
}

#[test]
fn whoever_ends_a_client_that_lost_its_session_need_not_wait() {
    let mut server = Server::drawing(0);
    let place = Place::new();
    let mut client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    server.shut_down();
    while control.call("status", json!({}))["spice_connected"] == true {
        thread::yield_now();
    }
    client.close_stdin();
    assert_eq!(client.ended().status.code(), Some(1));
    assert_eq!(
        zips(&place.reports()),
        BTreeSet::new(),
        "the report was given up, whole"
    );
}
