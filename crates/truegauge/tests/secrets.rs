//! The password of a server stands in nothing that a run of the harness shows or leaves behind: not in what it says, its
//! evidence, results, pages, logs or reports, not in the process list, and not in what a failing run leaves.
#![cfg(target_os = "linux")]

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::{Harness, Run};
use serde_json::json;

const SECRET: &str = "s3cr3t \"qu0te\" $p4ce";
const WRONG: &str = "n0t-the-r1ght \"one\"";

/// A server that wants the secret.
struct Server {
    child: Child,
    port: u64,
}

impl Server {
    fn start(password_file: &Path) -> Self {
        let mut child = Command::new(harness::TRUEGAUGE)
            .args(["source", "--draws-per-second", "500", "--password-file"])
            .arg(password_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the source starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let listening: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let port = listening["port"].as_u64().expect("a port");
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether some bytes hold a secret, as it is or as JSON, HTML or Rust would write it.
fn shows(bytes: &[u8], secret: &str) -> bool {
    let json = json!(secret).to_string();
    let html = secret.replace('"', "&quot;");
    [secret, &json[1..json.len() - 1], &html]
        .iter()
        .any(|form| memchr::memmem::find(bytes, form.as_bytes()).is_some())
}

/// Everything that a run said and left, what zips hold included.
fn left_by(run: &Run) -> BTreeMap<String, Vec<u8>> {
    let mut left = BTreeMap::from([
        ("stdout".to_owned(), run.stdout.clone().into_bytes()),
        ("stderr".to_owned(), run.stderr.clone().into_bytes()),
    ]);
    let mut paths = run.left_in_temp();
    paths.push(run.dir());
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("listed").flatten();
            paths.extend(entries.map(|entry| entry.path()));
        } else if path.is_file() {
            left.extend(members(&path));
            left.insert(path.display().to_string(), fs::read(&path).expect("read"));
        }
    }
    left
}

/// What a zip holds; nothing where it is none.
fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(mut zip) = zip::ZipArchive::new(fs::File::open(path).expect("opened")) else {
        return Vec::new();
    };
    let count = zip.len();
    let read = |index| {
        let mut member = zip.by_index(index).expect("a member");
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).expect("read");
        (format!("{}: {:?}", path.display(), member.name()), bytes)
    };
    (0..count).map(read).collect()
}

/// A run, with what anybody could see of its processes meanwhile.
fn run(
    server: &Server,
    password_file: &Path,
    more: &[&str],
    env: &[(&str, &str)],
) -> (Run, BTreeMap<String, Vec<u8>>) {
    let address = format!("127.0.0.1:{}", server.port);
    let file = password_file.display().to_string();
    let quick = ["--window", "500ms", "--later-delay", "0s", "--source", &address];
    let args = [&quick, ["--password-file", &file].as_slice(), more].concat();
    let (run, seen) = Harness::start(&args, env).finish_watched();
    let mut left = left_by(&run);
    left.extend(seen);
    (run, left)
}

fn assert_hidden(left: &BTreeMap<String, Vec<u8>>, secret: &str) {
    let shown: Vec<_> = left
        .iter()
        .filter(|(_, bytes)| shows(bytes, secret))
        .map(|(what, _)| what)
        .collect();
    assert!(shown.is_empty(), "the password stands in {shown:?}");
}

fn password_file(dir: &Path, password: &str) -> PathBuf {
    let path = dir.join("password");
    fs::write(&path, format!("{password}\n")).expect("written");
    path
}

#[test]
fn the_search_finds_what_it_is_to_find() {
    for shown in [
        format!("password={SECRET}"),
        json!({"password": SECRET}).to_string(),
        format!("{SECRET:?}"),
        "s3cr3t &quot;qu0te&quot; $p4ce".to_owned(),
    ] {
        assert!(shows(shown.as_bytes(), SECRET), "{shown}");
    }
    assert!(!shows(WRONG.as_bytes(), SECRET));
}

#[test]
fn no_run_shows_it_whatever_comes_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let right = password_file(dir.path(), SECRET);
    let server = Server::start(&right);

    let (judged, left) = run(&server, &right, &[], &[]);
    assert!(
        judged.dir().join("busy.zip").exists(),
        "there was a session: {judged:?}"
    );
    let seen = |name: &str| left.keys().any(|what| what.contains(name));
    for part in [
        "evidence.json",
        "results.json",
        "report.html",
        "client.log",
        "metadata.json",
        "cmdline of ",
    ] {
        assert!(seen(part), "{part} is searched: {:?}", left.keys());
    }
    assert_hidden(&left, SECRET);

    let client = harness::misbehaving_client();
    let fails = ["--client-bin", client.as_str()];
    let (failed, left) = run(&server, &right, &fails, &[("MISBEHAVE", "dies")]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert_hidden(&left, SECRET);

    let other = tempfile::tempdir().expect("a directory");
    let wrong = password_file(other.path(), WRONG);
    let (refused, left) = run(&server, &wrong, &[], &[]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("refused the password"),
        "it says why: {refused:?}"
    );
    assert_hidden(&left, WRONG);
}
