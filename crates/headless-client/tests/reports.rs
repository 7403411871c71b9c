//! Bug reports of a real session, from the request to the zip.

mod common;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::Path;

use common::{Place, Server};
use headless_client::clock::monotonic_ns;
use serde_json::{Value, json};
use zip::ZipArchive;

fn member(path: &Path, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut zip = ZipArchive::new(File::open(path).unwrap()).unwrap();
    zip.by_name(name)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn json_member(path: &Path, name: &str) -> Value {
    serde_json::from_slice(&member(path, name)).unwrap()
}

#[test]
fn a_report_tells_the_truth_about_its_session() {
    let mut server = Server::drawing(200);
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let mut control = place.connect();
    let status = control.await_surface();
    assert_eq!(status["spice_connected"], true);
    assert_eq!(
        status["surfaces"],
        json!([{"channel_id": 0, "surface_id": 0, "width": 1024, "height": 768}])
    );
    assert!(status["uptime_secs"].is_f64());

    let asked = monotonic_ns();
    let report = control.call("bug_report", json!({"window_ms": 500, "description": "it froze"}));
    let answered = monotonic_ns();
    let path = Path::new(report["path"].as_str().unwrap());
    assert_eq!(
        fs::metadata(path).unwrap().len(),
        report["bytes"].as_u64().unwrap()
    );
    assert_eq!(path.parent().unwrap(), place.reports().canonicalize().unwrap());

    let metadata = json_member(path, "metadata.json");
    assert_eq!(metadata["pid"], client.pid());
    assert_eq!(metadata["target"], server.address());
    assert_eq!(metadata["description"], "it froze");
    let moments = [
        &metadata["triggered_monotonic_ns"],
        &metadata["window"]["start_monotonic_ns"],
        &metadata["window"]["end_monotonic_ns"],
    ]
    .map(|moment| moment.as_u64().unwrap());
    let [triggered, start, end] = moments;
    assert!(
        asked < triggered && triggered <= start && start < end && end < answered,
        "{asked} {moments:?} {answered}"
    );

    let metrics = json_member(path, "runtime-metrics.json");
    assert_eq!(metrics["sample_window_ms"], 500);
    let measured_ns = (metrics["measured_window_ms"].as_f64().unwrap() * 1e6) as u64;
    assert!(
        (500_000_000..=end - start).contains(&measured_ns),
        "{measured_ns} ns measured, {} claimed",
        end - start
    );
    let threads = metrics["threads"].as_array().unwrap();
    assert!(threads.len() >= 10, "{threads:#?}");
    assert!(
        threads.iter().any(|thread| thread["name"] == "tokio-rt-worker"),
        "{threads:#?}"
    );

    let session = json_member(path, "session.json");
    assert_eq!(session["connected"], true);
    assert_eq!(session["surfaces"], status["surfaces"]);
    assert!(
        session["frames_received"].as_u64() > status["frames_received"].as_u64(),
        "{session} {status}"
    );
    assert!(session["mouse_mode"].is_u64(), "{session}");
    assert!(session["uptime_secs"].as_f64().unwrap() >= 0.5, "{session}");
    assert_eq!(metadata["session_uptime_secs"], session["uptime_secs"]);

    let channels = json_member(path, "channel-state.json");
    assert!(
        channels["display"]["message_count"].as_u64().unwrap() > 0,
        "{channels}"
    );

    let mut picture = png::Decoder::new(Cursor::new(member(path, "screenshot.png")))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; picture.output_buffer_size().unwrap()];
    let frame = picture.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height), (1024, 768));
    let colours: HashSet<&[u8]> = pixels.chunks_exact(3).collect();
    assert!(colours.len() > 1, "what was drawn shows");
}

#[test]
fn resource_counts_follow_connections_and_extra_threads() {
    let mut server = Server::drawing(0);
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    // The first brings up the thread that takes it, and what that thread allocates.
    control.call("resource_counts", json!({}));
    let before = control.call("resource_counts", json!({}));
    assert_eq!(before["platform"], std::env::consts::OS);
    assert!(before.get("missing").is_none(), "{before}");
    let _second = place.connect();
    let after = control.call("resource_counts", json!({}));
    let descriptors = |counts: &Value| counts["descriptors"].as_u64().expect("counted");
    assert_eq!(
        descriptors(&after),
        descriptors(&before) + 1,
        "one connection more: {before} {after}"
    );
    control.call("extra_threads", json!({"count": 3}));
    let with_extra_threads = control.call("resource_counts", json!({}));
    let threads = |counts: &Value| counts["threads"].as_u64().expect("counted");
    // The runtime may have started another thread of its own meanwhile.
    assert!(
        threads(&with_extra_threads) >= threads(&after) + 3,
        "{after} {with_extra_threads}"
    );
    let seen = fs::read_dir(format!("/proc/{}/fd", client.pid())).map(Iterator::count);
    if let Ok(seen) = seen {
        assert_eq!(descriptors(&after), seen as u64, "as seen from outside");
    }
}

#[test]
fn reports_may_be_taken_side_by_side() {
    let mut server = Server::drawing(0);
    let place = Place::new();
    let _client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let (mut one, mut other) = (place.connect(), place.connect());
    for control in [&mut one, &mut other] {
        control.ask("bug_report", json!({"window_ms": 300}));
    }
    let reports = [one.answer(), other.answer()].map(|mut answer| answer["result"]["path"].take());
    assert_ne!(reports[0], reports[1]);
    let windows = reports.map(|path| {
        let window = json_member(Path::new(path.as_str().unwrap()), "metadata.json")["window"].take();
        (
            window["start_monotonic_ns"].as_u64().unwrap(),
            window["end_monotonic_ns"].as_u64().unwrap(),
        )
    });
    assert!(
        windows[0].0 < windows[1].1 && windows[1].0 < windows[0].1,
        "neither waited for the other: {windows:?}"
    );
    assert_eq!(
        fs::read_dir(place.reports()).unwrap().count(),
        2,
        "nothing else is left there"
    );
}

#[test]
fn a_session_survives_a_report_that_cannot_be_filed() {
    let mut server = Server::drawing(0);
    let place = Place::new();
    let _client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let mut control = place.connect();

    fs::remove_dir(place.reports()).unwrap();
    let answer = control.exchange("bug_report", json!({"window_ms": 0}));
    assert_eq!(answer["error"]["code"], "internal_error");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("/reports") && message.contains("No such file"),
        "{message}"
    );

    fs::create_dir(place.reports()).unwrap();
    control.await_surface();
    control.call("bug_report", json!({"window_ms": 0}));
    assert_eq!(fs::read_dir(place.reports()).unwrap().count(), 1);
}
