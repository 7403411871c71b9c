//! Reports as clients write them and as nobody should, and `verify-report` on them.
#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::ffi::OsStr;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// What verify-report said.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sent {
    pub(crate) fn last_line(&self) -> &str {
        self.stdout.trim_end().lines().last().unwrap_or_default()
    }

    /// The run's directory in the one that `--out` named.
    pub(crate) fn dir(&self, out: &Path) -> PathBuf {
        let mut entries = std::fs::read_dir(out).expect("listed");
        entries.next().expect("a run").expect("listed").path()
    }

    pub(crate) fn results(&self, out: &Path) -> Value {
        let text = std::fs::read_to_string(self.dir(out).join("results.json")).expect("readable");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// Judges, without any CI system's variables.
pub(crate) fn verify_report<'a>(
    arguments: impl IntoIterator<Item = &'a OsStr>,
    input: Option<&[u8]>,
) -> Sent {
    verify_report_with(arguments, input, &[])
}

pub(crate) fn verify_report_with<'a>(
    arguments: impl IntoIterator<Item = &'a OsStr>,
    input: Option<&[u8]>,
    env: &[(&str, &OsStr)],
) -> Sent {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegauge"));
    command.arg("verify-report").args(arguments);
    run(&mut command, input, env)
}

/// Runs to the end, or to that of anybody's patience.
pub(crate) fn run(command: &mut Command, input: Option<&[u8]>, env: &[(&str, &OsStr)]) -> Sent {
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut files = [tempfile::tempfile(), tempfile::tempfile()].map(|file| file.expect("a file"));
    let [stdout, stderr] = files.each_ref().map(|file| file.try_clone().expect("cloned"));
    let mut child = command
        .env_remove("GITHUB_ACTIONS")
        .envs(env.iter().copied())
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .expect("it starts");
    if let Some(input) = input {
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input).expect("it reads");
    }
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("waited") {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let [stdout, stderr] = files.each_mut().map(|file| {
        std::io::Seek::rewind(file).expect("rewound");
        std::io::read_to_string(file).expect("text")
    });
    Sent {
        code: status.code().unwrap_or(-1),
        stdout,
        stderr,
    }
}

/// A directory, and files in it.
pub(crate) struct Desk(tempfile::TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }
}

pub(crate) fn judge(paths: &[&Path]) -> Sent {
    verify_report(paths.iter().map(|path| path.as_os_str()), None)
}

/// Judges one report, with the files of the run in a directory of `out`.
pub(crate) fn judge_into(out: &Path, report: &Path) -> Sent {
    verify_report([report.as_os_str(), "--out".as_ref(), out.as_os_str()], None)
}

pub(crate) fn check<'a>(results: &'a Value, id: &str) -> &'a Value {
    let checks = results["checks"].as_array().expect("checks");
    checks.iter().find(|row| row["check"] == id).expect(id)
}

/// A report's members.
#[derive(Clone)]
pub(crate) struct Members {
    metadata: Value,
    session: Value,
    metrics: Value,
}

impl Members {
    pub(crate) fn metrics(mut self, metrics: Value) -> Self {
        self.metrics = metrics;
        self
    }

    pub(crate) fn metadata(mut self, key: &str, value: Value) -> Self {
        self.metadata[key] = value;
        self
    }

    pub(crate) fn uptime(mut self, secs: f64) -> Self {
        self.metrics["process"]["uptime_secs"] = json!(secs);
        self
    }

    pub(crate) fn session(mut self, key: &str, value: Value) -> Self {
        self.session[key] = value;
        self
    }

    /// With memory that no process has.
    pub(crate) fn lying(mut self) -> Self {
        self.metrics["process"]["rss_kb"] = json!(0);
        self
    }

    pub(crate) fn files(&self) -> [(&'static str, Value); 5] {
        [
            ("metadata.json", self.metadata.clone()),
            ("session.json", self.session.clone()),
            ("channel-state.json", json!({"main": {"connected": true}})),
            ("notifications.json", json!([])),
            ("runtime-metrics.json", self.metrics.clone()),
        ]
    }

    /// Writes the files of the report into a directory of its own.
    pub(crate) fn unzipped(&self, dir: &Path) {
        std::fs::create_dir_all(dir).expect("created");
        for (name, json) in self.files() {
            std::fs::write(dir.join(name), json.to_string()).expect("written");
        }
    }

    pub(crate) fn zip(&self) -> Vec<u8> {
        json_zip(&self.files())
    }
}

/// A runtime-metrics.json that is right.
pub(crate) fn bare() -> Value {
    let threads: Vec<Value> = (0..12)
        .map(|n| json!({"tid": 4242 + n, "name": "tokio-rt-worker", "cpu_percent": 0.5}))
        .collect();
    json!({
        "sample_window_ms": 2000,
        "process": {"cpu_percent": 6.0, "rss_kb": 44876, "vm_size_kb": 301_996, "uptime_secs": 14.1},
        "threads": threads,
        "platform": "linux"
    })
}

/// A report of our client.
pub(crate) fn ours(session_secs: f64) -> Members {
    Members {
        metadata: json!({
            "client": "headless-client", "version": "0.1.0", "pid": 4242, "platform_os": "linux",
            "platform_arch": "x86_64", "report_type": "manual", "target": "127.0.0.1:5900",
            "triggered_at": "2026-11-22T19:42:50.250000000Z", "triggered_monotonic_ns": 1_000_000_000_u64,
            "window": {"start_monotonic_ns": 1_000_000_000_u64, "end_monotonic_ns": 3_000_000_000_u64},
            "session_uptime_secs": session_secs
        }),
        session: session(session_secs),
        metrics: bare(),
    }
}

/// A report of ryll's, filed so many seconds after its session began.
pub(crate) fn ryll(kind: Value, session_secs: u32) -> Members {
    let (minutes, seconds) = (session_secs / 60, session_secs % 60);
    let mut metrics = bare();
    metrics["process"]["uptime_secs"] = json!(f64::from(session_secs) + 2.1);
    // By CPU, as ryll lists threads on Linux.
    metrics["threads"].as_array_mut().expect("threads").reverse();
    Members {
        metadata: json!({
            "ryll_version": "0.3.0", "ryll_git_sha": "unknown", "platform_os": "linux", "platform_arch": "x86_64",
            "report_type": kind, "channel": "all", "description": "x", "region": null, "target": "127.0.0.1:5900",
            "timestamp": format!("2026-11-22T19:{minutes:02}:{seconds:02}Z"),
            "triggered_at": format!("2026-11-22T19:{minutes:02}:{seconds:02}Z"),
            "session_uptime_secs": f64::from(session_secs) + 0.25,
            "triggered_uptime_secs": f64::from(session_secs) + 0.25, "traffic_capture": null
        }),
        session: session(f64::from(session_secs)),
        metrics,
    }
}

fn session(uptime_secs: f64) -> Value {
    json!({
        "connected": true, "frames_received": 4461, "mouse_mode": 1, "uptime_secs": uptime_secs,
        "surfaces": [{"surface_id": 0, "width": 640, "height": 400}]
    })
}

/// A report whose names try to be commands to whatever shows them; its figures are wrong as well.
pub(crate) fn hostile_names() -> Members {
    let names = [
        "<script>fetch('http://127.0.0.1:9/')</script>",
        "<img src=http://127.0.0.1:9/x onerror=alert(1)>",
        "\u{1b}[2J\u{1b}]0;owned\u{7}",
        "\n::error::owned",
        "a|b `c` @everyone",
        "]]>&amp;\u{0}\u{fffe}",
    ];
    let mut members = ours(12.0);
    let threads = names
        .iter()
        .map(|name| json!({"tid": name, "name": name, "cpu_percent": name}));
    members.metrics["threads"] = threads.collect();
    members.metrics["process"]["rss_kb"] = json!("\u{1b}[31m\n::error::owned");
    members.metrics["platform"] = json!("\n::error::owned\u{0}");
    members.metrics["missing"] = json!({"\u{1b}[2J": "\u{1b}[2J"});
    members
}

pub(crate) fn json_zip(members: &[(&str, Value)]) -> Vec<u8> {
    let members: Vec<(&str, String)> = members
        .iter()
        .map(|(name, json)| (*name, json.to_string()))
        .collect();
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, text)| (*name, text.as_bytes()))
        .collect();
    zipped(&members)
}

pub(crate) fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default())
            .expect("a member");
        zip.write_all(content).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
}
