//! Where a report cannot be filed, and where the process is held up: the client says what happened, keeps its session, and
//! files the next report when it can.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Client, Control, Place, Server};
use nix::sys::signal::Signal;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};
use spice_source::{Channel, Config, DrawRate};

/// A client in a place of its own, started by a shell that prepares what it meets; `$1` are the reports.
fn client_behind(place: &Place, server: &Server, wrapper: &[&str], script: &str) -> Client {
    let mut words = wrapper.to_vec();
    let script = format!("{script}\nshift; exec \"$@\"");
    words.extend(["/bin/sh", "-ec", &script, "sh"]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(place.reports());
    command.arg(env!("CARGO_BIN_EXE_headless-client"));
    command.args(["--direct", &server.address(), "--exit-on-stdin-eof"]);
    command.arg("--control-socket").arg(place.socket());
    command.arg("--bug-report-dir").arg(place.reports());
    Client::spawn(command)
}

/// Runs a command in its own mount namespace, with a user namespace around it: needs no root where the system allows user
/// namespaces.
const OWN_MOUNTS: [&str; 5] = [
    "unshare",
    "--map-root-user",
    "--mount",
    "--propagation",
    "private",
];

/// Whether this machine can make and use mount namespaces. Where it cannot, the test counts as skipped; in CI it fails.
fn can_mount(test: &str) -> bool {
    let tried = Command::new(OWN_MOUNTS[0])
        .args(&OWN_MOUNTS[1..])
        .args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"])
        .output();
    let reason = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(_) => "unshare is missing".to_owned(),
    };
    assert!(std::env::var_os("CI").is_none(), "{test}: {reason}");
    // Not `eprintln`, which the test harness captures.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
    false
}

fn report(control: &mut Control) -> Value {
    control.exchange("bug_report", json!({"window_ms": 0}))
}

/// The report is refused with these words, and the session is still there.
fn assert_refused(control: &mut Control, words: &[&str]) {
    let answer = report(control);
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(
        answer["ok"] == false && words.iter().all(|word| message.contains(word)),
        "wanted {words:?}: {answer}"
    );
    let status = control.call("status", json!({}));
    assert_eq!(status["spice_connected"], true, "{status}");
}

/// Zips and unfinished files in a directory.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    files
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_directory_that_vanished_is_said_and_one_that_is_back_is_used() {
    let mut server = Server::drawing(100);
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    fs::remove_dir_all(place.reports()).unwrap();
    let shown = place.reports().display().to_string();
    assert_refused(
        &mut control,
        &["cannot file the bug report", &shown, "must exist"],
    );
    fs::create_dir(place.reports()).unwrap();
    assert_eq!(report(&mut control)["ok"], true);
    assert_eq!(files(&place.reports()).len(), 1);
    control.call("quit", json!({}));
    let ended = client.ended();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("cannot file the bug report"), "{ended:?}");
}

#[test]
fn full_disk_is_reported_and_leaves_no_partial_report() {
    if !can_mount("full_disk_is_reported_and_leaves_no_partial_report") {
        return;
    }
    let mut server = Server::drawing(100);
    let place = Place::new();
    let full = "mkdir -p \"$1\"; mount -t tmpfs -o size=256k tmpfs \"$1\"\n\
                dd if=/dev/zero of=\"$1/filler\" 2>/dev/null || true";
    let client = client_behind(&place, &server, &OWN_MOUNTS, full);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    assert_refused(
        &mut control,
        &[
            "cannot file the bug report",
            "No space left on device",
            "have room",
        ],
    );
    // As the client sees it.
    let reports = format!("/proc/{}/root{}", client.pid(), place.reports().display());
    assert_eq!(files(Path::new(&reports)), ["filler"]);
    fs::remove_file(Path::new(&reports).join("filler")).unwrap();
    assert_eq!(report(&mut control)["ok"], true, "there is room again");
}

#[test]
fn read_only_directory_is_reported() {
    if !can_mount("read_only_directory_is_reported") {
        return;
    }
    let mut server = Server::drawing(100);
    let place = Place::new();
    let ready = place.path().join("made-read-only");
    // Read-only once the client has looked at it.
    let script = format!(
        "mkdir -p \"$1\"; mount -t tmpfs tmpfs \"$1\"; dir=$1\n\
         (while ! [ -e '{0}' ]; do sleep 0.02; done; mount -o remount,ro \"$dir\"; rm '{0}') &",
        ready.display()
    );
    let _client = client_behind(&place, &server, &OWN_MOUNTS, &script);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    assert_eq!(report(&mut control)["ok"], true);
    fs::write(&ready, "").unwrap();
    while ready.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_refused(
        &mut control,
        &[
            "cannot file the bug report",
            "Read-only file system",
            "be writable",
        ],
    );
}

#[test]
fn without_descriptors_reports_are_refused_and_later_filed_again() {
    let mut server = Server::drawing(100);
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    let pid = rustix::process::Pid::from_raw(client.pid());
    let limit = |soft| {
        let hard = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit {
            current: Some(soft),
            maximum: hard,
        };
        prlimit(pid, Resource::Nofile, limit).expect("the client's limit can be set");
    };
    // What is open stays open, and nothing more can be opened.
    limit(3);
    assert_refused(
        &mut control,
        &["cannot file the bug report", "Too many open files"],
    );
    let sample = control.call("sample", json!({"count": 1, "window_ms": 0}))["last"].take();
    assert!(
        sample["available"] == false || sample["process"]["uptime_secs"].is_number(),
        "figures or a reason: {sample}"
    );
    // It waits to be accepted.
    let mut second = place.connect_mutely();
    limit(1024);
    let hello = second.exchange("hello", json!({"client_name": "test", "protocol_version": "1.0"}));
    assert_eq!(hello["ok"], true, "{hello}");
    let report = report(&mut control);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(
        files(&place.reports()).len(),
        1,
        "no part of the refused one is left"
    );
}

/// As long as somebody looks at a debugger.
const STOP_DURATION: Duration = Duration::from_secs(30);

#[test]
fn a_client_that_was_stopped_goes_on_and_tells_the_time_as_it_was() {
    // A server that is patient enough.
    let mut server = Server::start(Config {
        rate: DrawRate::try_from(100).unwrap(),
        silence_limit: 4 * STOP_DURATION,
        ..Config::default()
    });
    let place = Place::new();
    let client = place.client(&["--direct", &server.address()]);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    // The last channel to open: the renderer gives each a few seconds, which must not run while it stands.
    server.send_gap(Channel::Cursor, 999);
    let uptime = |control: &mut Control| {
        let sample = control.call("sample", json!({"count": 1, "window_ms": 0}));
        sample["last"]["process"]["uptime_secs"].as_f64().unwrap()
    };
    let before = uptime(&mut control);
    client.signal(Signal::SIGSTOP);
    let stopped = std::time::Instant::now();
    // The time itself is what is tested; nothing waits for it to be over.
    std::thread::sleep(STOP_DURATION);
    let away = stopped.elapsed().as_secs_f64();
    client.signal(Signal::SIGCONT);
    assert!(
        uptime(&mut control) - before >= away,
        "the clock runs while the process stands"
    );
    let report = report(&mut control);
    assert_eq!(report["ok"], true, "{report}");
    let status = control.call("status", json!({}));
    assert_eq!(status["spice_connected"], true, "{status}");
}

/// A year back, to the first day there is, and on by ten.
const SHIFTS: [i64; 4] = [0, -31_536_000, -1_790_000_000, 315_360_000];

#[test]
fn a_wall_clock_that_jumps_changes_no_figure_and_loses_no_report() {
    let mut server = Server::drawing(100);
    let place = Place::new();
    let library = place.path().join("shifted_clock.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shifted_clock.c"))
        .arg("-ldl")
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "cc, which links Rust's programs too"
    );
    let shift = place.path().join("shift");
    let mut command = Command::new(env!("CARGO_BIN_EXE_headless-client"));
    command.args(["--direct", &server.address(), "--exit-on-stdin-eof"]);
    command.args(["--auto-snapshot-interval", "1", "--auto-snapshot-cap", "1"]);
    command.arg("--control-socket").arg(place.socket());
    command.arg("--bug-report-dir").arg(place.reports());
    command.env("LD_PRELOAD", &library).env("SHIFT_FILE", &shift);
    let client = Client::spawn(command);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();

    let mut announced = Vec::new();
    let mut years = Vec::new();
    let mut uptime = 0.0;
    for seconds in SHIFTS {
        fs::write(&shift, seconds.to_string()).unwrap();
        let answer = control.call("bug_report", json!({"window_ms": 200}));
        let path = answer["path"].as_str().unwrap().to_owned();
        let metrics = member(Path::new(&path), "runtime-metrics.json");
        let window = metrics["sample_window_ms"].as_f64().unwrap();
        assert!(window >= 200.0, "{seconds}: {metrics}");
        let process = &metrics["process"];
        let now = process["uptime_secs"].as_f64().unwrap();
        assert!(
            uptime < now && now < uptime + common::TIMEOUT.as_secs_f64(),
            "{seconds}: {uptime}, then {metrics}"
        );
        uptime = now;
        let cpu = process["cpu_percent"].as_f64().unwrap();
        assert!((0.0..10_000.0).contains(&cpu), "{seconds}: {metrics}");
        years.push(
            member(Path::new(&path), "metadata.json")["triggered_at"]
                .as_str()
                .unwrap()[..4]
                .to_owned(),
        );
        announced.push(path);
    }
    years.sort_unstable();
    years.dedup();
    assert_eq!(years.len(), SHIFTS.len(), "the clock was shifted: {years:?}");
    for path in &announced {
        assert!(Path::new(path).exists(), "{path}");
    }
    let status = control.call("status", json!({}));
    assert_eq!(status["spice_connected"], true, "{status}");
    control.call("quit", json!({}));
    assert_eq!(client.ended().status.code(), Some(0));
}

fn member(zip: &Path, name: &str) -> Value {
    let mut zip = zip::ZipArchive::new(fs::File::open(zip).unwrap()).unwrap();
    serde_json::from_reader(zip.by_name(name).unwrap()).unwrap()
}
