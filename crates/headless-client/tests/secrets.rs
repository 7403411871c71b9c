//! The password stands in nothing that a run leaves behind or shows: not in logs at their most talkative, not in reports, not
//! in answers, not in the process list or the environment; when all is well, and when it is not.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Client, Control, Place, Server};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use spice_source::{Config, Password};

/// With what JSON, URLs and shells write in another way.
const SECRET: &str = "s3cr3t \"qu0te\" $p4ce";
const WRONG: &str = "n0t-the-r1ght \"one\"";

/// Whether some bytes hold a secret, as it is or as something that encodes text would write it.
fn shows(bytes: &[u8], secret: &str) -> bool {
    let holds = |form: &[u8]| bytes.windows(form.len()).any(|window| window == form);
    let json = json!(secret).to_string();
    let hex = secret.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let list = format!("{:?}", secret.as_bytes());
    let forms = [secret, &json[1..json.len() - 1], &hex, &list[1..list.len() - 1]];
    forms.iter().any(|form| holds(form.as_bytes()))
}

#[test]
fn the_search_finds_what_it_is_to_find() {
    for shown in [
        format!("password: {SECRET}."),
        json!({"password": SECRET}).to_string(),
        format!("{SECRET:?}"),
        format!("{:?}", SECRET.as_bytes()),
    ] {
        assert!(shows(shown.as_bytes(), SECRET), "{shown}");
    }
    assert!(!shows(WRONG.as_bytes(), SECRET));
}

/// A server that wants the secret, and a file that offers this password.
fn server_and_file(place: &Place, password: &str) -> (Server, PathBuf) {
    let server = Server::start(Config {
        password: Some(Password::new(SECRET).unwrap()),
        ..Config::default()
    });
    let file = place.path().join("session.vv");
    let text = format!(
        "[virt-viewer]\ntype=spice\nhost=127.0.0.1\nport={}\npassword={password}\n",
        server.port()
    );
    fs::write(&file, text).unwrap();
    (server, file)
}

/// A client at its most talkative.
fn client(place: &Place, file: &Path) -> Client {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headless-client"));
    command
        .arg("--file")
        .arg(file)
        .args(["--exit-on-stdin-eof", "-vvv"]);
    command.arg("--control-socket").arg(place.socket());
    command.arg("--bug-report-dir").arg(place.reports());
    command.env("RUST_LOG", "trace");
    Client::spawn(command)
}

/// Everything below a place but the file that brought the password, what zips hold included.
fn left_behind(place: &Place, file: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![place.path().to_owned()];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.is_file() && path != file {
                if path.extension().is_some_and(|extension| extension == "zip") {
                    found.extend(members(&path));
                }
                found.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    found
}

fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let count = zip.len();
    let read = |index| {
        let mut member = zip.by_index(index).unwrap();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        (format!("{}: {:?}", path.display(), member.name()), bytes)
    };
    (0..count).map(read).collect()
}

/// What anybody can see of a process, where the system shows it in files.
fn seen_of(client: &Client) -> Vec<(String, Vec<u8>)> {
    let read = |name: &str| {
        let path = format!("/proc/{}/{name}", client.pid());
        fs::read(&path).ok().map(|bytes| (path, bytes))
    };
    ["cmdline", "environ", "comm", "status"]
        .iter()
        .filter_map(|name| read(name))
        .collect()
}

fn assert_hidden(things: &[(String, Vec<u8>)], secret: &str) {
    let shown: Vec<_> = things
        .iter()
        .filter(|(_, bytes)| shows(bytes, secret))
        .map(|(what, _)| what)
        .collect();
    assert!(shown.is_empty(), "the password stands in {shown:?}");
}

/// How large a core dump of a process may be, as `/proc/PID/limits` has it: soft and hard.
#[cfg(target_os = "linux")]
fn core_limits(pid: i32) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size"));
    let words = line.unwrap().split_whitespace().skip(4).take(2);
    words.map(str::to_owned).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_knows_a_password_leaves_no_core_dump() {
    use std::os::unix::process::ExitStatusExt as _;

    /// Whatever limit the tests run under is raised as far as it goes.
    const RAISED: &str = "ulimit -S -c \"$(ulimit -H -c)\" && exec \"$0\" \"$@\"";
    let allowed = core_limits(std::process::id().try_into().unwrap())[1].clone();
    let place = Place::new();
    let (mut server, file) = server_and_file(&place, SECRET);
    let mut open = Server::start(Config::default());
    let client = |arguments: [&str; 2]| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", RAISED, env!("CARGO_BIN_EXE_headless-client")]);
        command
            .args(arguments)
            .arg("--bug-report-dir")
            .arg(place.reports());
        command.current_dir(place.path());
        Client::spawn(command)
    };

    let ignorant = client(["--direct", &open.address()]);
    open.await_session();
    assert_eq!(
        core_limits(ignorant.pid()),
        [&*allowed, &*allowed],
        "nothing to hide"
    );

    let knowing = client(["--file", file.to_str().unwrap()]);
    server.await_session();
    let lowered = if allowed == "0" { "0" } else { "1" };
    assert_eq!(core_limits(knowing.pid()), [lowered, lowered]);
    knowing.signal(Signal::SIGABRT);
    let ended = knowing.ended();
    assert!(
        ended.status.signal() == Some(Signal::SIGABRT as i32) && !ended.status.core_dumped(),
        "{ended:?}"
    );
    assert_hidden(&left_behind(&place, &file), SECRET);
}

fn answers(control: &mut Control, requests: &[(&str, Value)]) -> Vec<(String, Vec<u8>)> {
    let mut ask = |(method, params): &(&str, Value)| {
        let answer = control.exchange(method, params.clone());
        ((*method).to_owned(), answer.to_string().into_bytes())
    };
    requests.iter().map(&mut ask).collect()
}

#[test]
fn no_trace_of_it_is_left_by_a_session_that_is_lost_in_the_end() {
    let place = Place::new();
    let (mut server, file) = server_and_file(&place, SECRET);
    let client = client(&place, &file);
    server.await_session();
    let mut control = place.connect();
    control.await_surface();
    let mut things = answers(
        &mut control,
        &[
            ("status", json!({})),
            ("bug_report", json!({"window_ms": 0, "description": "it froze"})),
            ("sample", json!({"count": 1, "window_ms": 0})),
            ("resource_counts", json!({})),
            ("bug_report", json!({"window_ms": "a"})),
            ("nonsense", json!({})),
        ],
    );
    things.extend(seen_of(&client));
    // Reports of a loss are filed at the end; until then one that cannot be.
    fs::rename(place.reports(), place.path().join("moved")).unwrap();
    things.extend(answers(&mut control, &[("bug_report", json!({"window_ms": 0}))]));
    fs::rename(place.path().join("moved"), place.reports()).unwrap();

    server.shut_down();
    let ended = client.ended();
    assert_ne!(ended.status.code(), Some(0), "the session was lost");
    let text = format!("{}{}", ended.stdout, ended.stderr);
    assert!(text.len() > 1_000, "it was to say all that it can: {text}");
    things.push(("what the client said".to_owned(), text.into_bytes()));
    let left = left_behind(&place, &file);
    assert!(
        left.iter().any(|(what, _)| what.contains("metadata.json")),
        "there are reports"
    );
    things.extend(left);
    assert_hidden(&things, SECRET);
    assert!(
        shows(&fs::read(&file).unwrap(), SECRET),
        "or nothing was searched for"
    );
}

#[test]
fn no_trace_of_it_is_left_by_a_client_that_is_refused_or_ended() {
    let place = Place::new();
    let (_server, file) = server_and_file(&place, WRONG);
    let refused = client(&place, &file).ended();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");

    // A file that cannot be used: what is wrong is said, and nothing of it quoted.
    let broken = place.path().join("broken.vv");
    let mut said = vec![refused];
    for text in [
        format!("[virt-viewer]\npassword={WRONG}\nport=none\n"),
        format!("[virt-viewer]\ntype=spice\nhost=h\nport=1\n{WRONG}\n"),
        format!("password={WRONG}\n"),
        format!(
            "[virt-viewer]\ntype=spice\nhost=h\nport=1\npassword={WRONG}{}\n",
            "x".repeat(5_000)
        ),
    ] {
        fs::write(&broken, &text).unwrap();
        let ended = client(&place, &broken).ended();
        assert_ne!(ended.status.code(), Some(0), "{text}");
        said.push(ended);
    }
    fs::remove_file(&broken).unwrap();

    // One that is ended while it connects.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap();
    let text = format!(
        "[virt-viewer]\ntype=spice\nhost=127.0.0.1\nport={}\npassword={WRONG}\n",
        address.port()
    );
    fs::write(&file, text).unwrap();
    let connecting = client(&place, &file);
    let _connection = mute.accept().unwrap();
    let mut things = seen_of(&connecting);
    connecting.signal(Signal::SIGTERM);
    said.push(connecting.ended());

    things.extend(said.iter().map(|ended| {
        (
            "what the client said".to_owned(),
            format!("{ended:?}").into_bytes(),
        )
    }));
    things.extend(left_behind(&place, &file));
    assert_hidden(&things, WRONG);
}
