//! A bug report: gathering it from a live session, and filing it as a zip.

use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shakenfist_spice_renderer::NotificationEntry;
use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::clock::monotonic_ns;
use crate::screenshot::Screenshot;
use crate::session::{Session, SessionState};

/// One instant on two clocks: the monotonic clock that all processes share, and the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Timestamps {
    /// [`monotonic_ns`].
    pub monotonic_ns: u64,
    /// The wall clock, which may step.
    pub at: Timestamp,
}

impl Timestamps {
    /// The current instant.
    #[must_use]
    pub fn now() -> Self {
        Self {
            monotonic_ns: monotonic_ns(),
            at: Timestamp::now(),
        }
    }
}

/// Runtime metrics, and the window that they were taken over.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// Just before the sampling.
    pub start: Timestamps,
    /// Just after it.
    pub end: Timestamps,
    /// `runtime-metrics.json`.
    pub metrics: Value,
}

impl Measurement {
    /// Samples this process for `window`, which blocks for as long.
    ///
    /// # Errors
    ///
    /// When the metrics cannot be JSON.
    pub fn take(window: Duration) -> serde_json::Result<Self> {
        let start = Timestamps::now();
        let metrics = runtime_metrics::sample(window);
        let end = Timestamps::now();
        Ok(Self {
            start,
            end,
            metrics: serde_json::to_value(metrics)?,
        })
    }
}

/// The kind of trigger that asked for a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportType {
    /// A `bug_report` request on the control socket.
    Manual,
    /// SIGUSR1.
    Signal,
    /// A protocol gap: the server sent a message that the protocol crate does not know.
    Gap,
    /// The automatic interval.
    Interval,
    /// The session was lost.
    Loss,
}

impl ReportType {
    /// As `report_type` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Signal => "signal",
            Self::Gap => "pedantic",
            Self::Interval => "auto-snapshot",
            Self::Loss => "disconnect",
        }
    }

    /// Part of the zip's name. A report that a person asked for is called a bug report.
    fn in_file_name(self) -> &'static str {
        match self {
            Self::Manual | Self::Signal => "bugreport",
            Self::Gap | Self::Interval | Self::Loss => self.name(),
        }
    }
}

/// When and why a report was asked for.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The kind of trigger.
    pub report_type: ReportType,
    /// Free text for `metadata.json`.
    pub description: Option<String>,
    /// When the report was asked for.
    pub triggered: Timestamps,
}

impl Trigger {
    /// A trigger that fires now.
    #[must_use]
    pub fn now(report_type: ReportType, description: Option<String>) -> Self {
        Self {
            report_type,
            description,
            triggered: Timestamps::now(),
        }
    }
}

/// Everything that goes into the zip.
pub struct Report {
    /// `host:port` of the server.
    pub target: String,
    /// When and why the report was asked for.
    pub trigger: Trigger,
    /// `runtime-metrics.json`, and its window.
    pub measurement: Measurement,
    /// `session.json`.
    pub session: SessionState,
    /// `channel-state.json`.
    pub channel_state: String,
    /// `notifications.json`.
    pub notifications: Vec<NotificationEntry>,
    /// `screenshot.png`, or why there is none.
    pub screenshot: Result<Screenshot, String>,
}

/// A member of the zip: its name, and what it holds.
pub type Member = (String, Vec<u8>);

/// `metadata.json`.
#[derive(Serialize)]
struct Metadata<'a> {
    client: &'a str,
    version: &'a str,
    pid: u32,
    platform_os: &'a str,
    platform_arch: &'a str,
    report_type: &'a str,
    description: Option<&'a str>,
    target: &'a str,
    triggered_at: String,
    triggered_monotonic_ns: u64,
    window: Window,
    session_uptime_secs: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    screenshot_missing: Option<&'a str>,
}

#[derive(Serialize)]
struct Window {
    start_monotonic_ns: u64,
    end_monotonic_ns: u64,
    started_at: String,
    ended_at: String,
}

impl Report {
    /// Gathers a report from a session. Its locks are held for a copy at a time.
    ///
    /// # Errors
    ///
    /// When the renderer cannot serialise its channels.
    pub fn gather(
        session: &Session,
        target: String,
        trigger: Trigger,
        measurement: Measurement,
    ) -> serde_json::Result<Self> {
        Ok(Self {
            target,
            trigger,
            measurement,
            session: session.state(),
            channel_state: session.channel_state()?,
            notifications: session.notifications(),
            screenshot: session.screenshot(),
        })
    }

    /// Writes a new zip of these [`members`](Self::members) and the screenshot in `dir`. The zip appears complete under its
    /// name, and never replaces another file.
    ///
    /// # Errors
    ///
    /// When the zip cannot be written or named; nothing is left behind.
    pub fn file_into(&self, dir: &Path, members: &[Member]) -> Result<FiledReport, FileError> {
        self.try_file_into(dir, members).map_err(|source| FileError {
            dir: dir.to_owned(),
            source,
        })
    }

    fn try_file_into(&self, dir: &Path, members: &[Member]) -> io::Result<FiledReport> {
        let time = self.trigger.triggered.at.strftime("%Y%m%dT%H%M%S%.3fZ");
        let prefix = format!(
            "headless-client-{}-{time}-",
            self.trigger.report_type.in_file_name()
        );
        // The random part is no other unfinished report's, so the finished name is unique too.
        let mut file = tempfile::Builder::new()
            .prefix(&prefix)
            .rand_bytes(8)
            .suffix(UNFINISHED)
            .tempfile_in(dir)?;
        self.write_zip(BufWriter::new(file.as_file_mut()), members)?;
        let bytes = file.as_file().metadata()?.len();
        let path = persist(file)?;
        Ok(FiledReport { path, bytes })
    }

    fn write_zip(&self, out: impl Write + Seek, members: &[Member]) -> io::Result<()> {
        let written = zip_time(self.trigger.triggered.at);
        let text = SimpleFileOptions::default().last_modified_time(written);
        let picture = text.compression_method(CompressionMethod::Stored);

        let mut zip = ZipWriter::new(out);
        for (name, content) in members {
            zip.start_file(name.as_str(), text)?;
            zip.write_all(content)?;
        }
        if let Ok(screenshot) = &self.screenshot {
            zip.start_file("screenshot.png", picture)?;
            screenshot.write_png(&mut zip)?;
        }
        zip.finish()?.flush()
    }

    /// The JSON members, all but the screenshot.
    ///
    /// # Errors
    ///
    /// When one of them cannot be JSON.
    pub fn members(&self) -> serde_json::Result<Vec<Member>> {
        let json = [
            ("metadata.json", serde_json::to_vec_pretty(&self.metadata())?),
            ("session.json", serde_json::to_vec_pretty(&self.session)?),
            ("channel-state.json", self.channel_state.clone().into_bytes()),
            (
                "notifications.json",
                serde_json::to_vec_pretty(&self.notifications)?,
            ),
            (
                "runtime-metrics.json",
                serde_json::to_vec_pretty(&self.measurement.metrics)?,
            ),
        ];
        Ok(json.map(|(name, content)| (name.to_owned(), content)).into())
    }

    fn metadata(&self) -> Metadata<'_> {
        let Measurement { start, end, .. } = self.measurement;
        let Trigger {
            report_type,
            description,
            triggered,
        } = &self.trigger;
        Metadata {
            client: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            platform_os: std::env::consts::OS,
            platform_arch: std::env::consts::ARCH,
            report_type: report_type.name(),
            description: description.as_deref(),
            target: &self.target,
            triggered_at: rfc3339(triggered.at),
            triggered_monotonic_ns: triggered.monotonic_ns,
            window: Window {
                start_monotonic_ns: start.monotonic_ns,
                end_monotonic_ns: end.monotonic_ns,
                started_at: rfc3339(start.at),
                ended_at: rfc3339(end.at),
            },
            session_uptime_secs: self.session.uptime_secs,
            screenshot_missing: self.screenshot.as_ref().err().map(String::as_str),
        }
    }
}

/// Suffix of an unfinished report, so that a search for zips does not find it.
const UNFINISHED: &str = ".partial";

/// Gives a finished report its name, which must be free.
fn persist(file: NamedTempFile) -> io::Result<PathBuf> {
    let path = file.path().with_extension("zip");
    file.persist_noclobber(&path)?;
    Ok(path)
}

/// RFC 3339 with nanoseconds.
fn rfc3339(at: Timestamp) -> String {
    format!("{at:.9}")
}

/// A zip's times have no zone; these are UTC, as is the name. Before 1980 and after 2107 there are none.
fn zip_time(at: Timestamp) -> zip::DateTime {
    let civil = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let unsigned = |part: i8| part.unsigned_abs();
    zip::DateTime::from_date_and_time(
        civil.year().unsigned_abs(),
        unsigned(civil.month()),
        unsigned(civil.day()),
        unsigned(civil.hour()),
        unsigned(civil.minute()),
        unsigned(civil.second()),
    )
    .unwrap_or_default()
}

/// A report that was filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiledReport {
    /// The zip.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// The reason why a report could not be filed.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot file the bug report in {}: {source}; the directory must exist, be writable and have room",
    dir.display()
)]
pub struct FileError {
    dir: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::io::{Cursor, Read};

    use serde_json::json;
    use shakenfist_spice_protocol::NotifySeverity;
    use shakenfist_spice_renderer::NotificationSource;
    use zip::ZipArchive;

    use super::*;

    fn report() -> Report {
        let moment = |monotonic_ns, at: &str| Timestamps {
            monotonic_ns,
            at: at.parse().unwrap(),
        };
        Report {
            target: "127.0.0.1:5900".to_owned(),
            trigger: Trigger {
                report_type: ReportType::Manual,
                description: Some("it froze".to_owned()),
                triggered: moment(1_000, "2026-11-22T20:18:00.123456789Z"),
            },
            measurement: Measurement {
                start: moment(2_000, "2026-11-22T20:18:00.2Z"),
                end: moment(3_000, "2026-11-22T20:18:02.2Z"),
                metrics: json!({"process": {"cpu_percent": 12.5}, "threads": [], "platform": "x"}),
            },
            session: SessionState {
                connected: true,
                surfaces: Vec::new(),
                frames_received: 7,
                last_ping_interval_ms: None,
                mouse_mode: Some(1),
                uptime_secs: Some(1.5),
            },
            channel_state: r#"{"main": {}}"#.to_owned(),
            notifications: vec![NotificationEntry::new(
                NotifySeverity::Warn,
                NotificationSource::Gap,
                "display:hexdump:999",
            )],
            screenshot: Screenshot::copy(1, 1, &[1, 2, 3, 4]),
        }
    }

    fn bytes(zip: &[u8], name: &str) -> Vec<u8> {
        let mut zip = ZipArchive::new(Cursor::new(zip)).unwrap();
        let mut bytes = Vec::new();
        zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn member(zip: &[u8], name: &str) -> Value {
        serde_json::from_slice(&bytes(zip, name)).unwrap()
    }

    fn names(zip: &[u8]) -> Vec<String> {
        ZipArchive::new(Cursor::new(zip))
            .unwrap()
            .file_names()
            .map(|name| name.unwrap().into_owned())
            .collect()
    }

    fn file_into(report: &Report, dir: &Path) -> Result<FiledReport, FileError> {
        report.file_into(dir, &report.members().unwrap())
    }

    fn zipped(report: &Report) -> Vec<u8> {
        let mut zip = Cursor::new(Vec::new());
        report.write_zip(&mut zip, &report.members().unwrap()).unwrap();
        zip.into_inner()
    }

    #[test]
    fn test_bug_report_runtime_metrics_in_zip() {
        let report = report();
        assert_eq!(
            member(&zipped(&report), "runtime-metrics.json"),
            report.measurement.metrics
        );
    }

    #[test]
    fn sampled_metrics_reach_the_zip() {
        let mut report = report();
        report.measurement = Measurement::take(Duration::from_millis(20)).unwrap();
        // Compared as text: read back, a fraction may differ in its last bit.
        let written = bytes(&zipped(&report), "runtime-metrics.json");
        assert_eq!(
            written,
            serde_json::to_vec_pretty(&report.measurement.metrics).unwrap()
        );
        assert_eq!(report.measurement.metrics["platform"], std::env::consts::OS);
        let window_ns = report.measurement.end.monotonic_ns - report.measurement.start.monotonic_ns;
        assert!(window_ns >= 20_000_000, "{window_ns}");
    }

    #[test]
    fn the_members_are_those_of_the_contract() {
        let zip = zipped(&report());
        assert_eq!(
            names(&zip),
            [
                "metadata.json",
                "session.json",
                "channel-state.json",
                "notifications.json",
                "runtime-metrics.json",
                "screenshot.png"
            ]
        );
        assert_eq!(
            member(&zip, "metadata.json"),
            json!({
                "client": "headless-client", "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(),
                "platform_os": std::env::consts::OS, "platform_arch": std::env::consts::ARCH,
                "report_type": "manual", "description": "it froze", "target": "127.0.0.1:5900",
                "triggered_at": "2026-11-22T20:18:00.123456789Z", "triggered_monotonic_ns": 1000,
                "window": {"start_monotonic_ns": 2000, "end_monotonic_ns": 3000,
                    "started_at": "2026-11-22T20:18:00.200000000Z",
                    "ended_at": "2026-11-22T20:18:02.200000000Z"},
                "session_uptime_secs": 1.5,
            })
        );
        assert_eq!(
            member(&zip, "session.json"),
            json!({"connected": true, "surfaces": [], "frames_received": 7, "last_ping_interval_ms": null,
                "mouse_mode": 1, "uptime_secs": 1.5})
        );
        assert_eq!(member(&zip, "channel-state.json"), json!({"main": {}}));
        let notifications = member(&zip, "notifications.json");
        assert_eq!(
            (&notifications[0]["source"], &notifications[0]["message"]),
            (&json!("Gap"), &json!("display:hexdump:999"))
        );
    }

    #[test]
    fn file_name_and_metadata_tell_the_report_type() {
        let dir = tempfile::tempdir().unwrap();
        for (report_type, type_name, prefix) in [
            (ReportType::Manual, "manual", "headless-client-bugreport-2026"),
            (ReportType::Signal, "signal", "headless-client-bugreport-2026"),
            (ReportType::Gap, "pedantic", "headless-client-pedantic-2026"),
            (
                ReportType::Interval,
                "auto-snapshot",
                "headless-client-auto-snapshot-2026",
            ),
            (ReportType::Loss, "disconnect", "headless-client-disconnect-2026"),
        ] {
            let mut report = report();
            report.trigger.report_type = report_type;
            let path = file_into(&report, dir.path()).unwrap().path;
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(prefix), "{name}");
            let metadata = member(&fs::read(&path).unwrap(), "metadata.json");
            assert_eq!(metadata["report_type"], type_name);
        }
    }

    #[test]
    fn a_missing_screenshot_is_explained() {
        let mut report = report();
        report.screenshot = Err("the session has no surface".to_owned());
        let zip = zipped(&report);
        assert!(!names(&zip).contains(&"screenshot.png".to_owned()));
        assert_eq!(
            member(&zip, "metadata.json")["screenshot_missing"],
            "the session has no surface"
        );
    }

    #[test]
    fn reports_of_the_same_instant_have_different_names() {
        let dir = tempfile::tempdir().unwrap();
        let report = report();
        let paths: HashSet<PathBuf> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| file_into(&report, dir.path()).unwrap()))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    let filed = thread.join().unwrap();
                    assert_eq!(fs::metadata(&filed.path).unwrap().len(), filed.bytes);
                    filed.path
                })
                .collect()
        });
        assert_eq!(paths.len(), 8);
        let in_dir: HashSet<PathBuf> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(in_dir, paths, "nothing but the reports is left");
        for path in paths {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(
                name.starts_with("headless-client-bugreport-20261122T201800.123Z-"),
                "{name}"
            );
            assert!(!name.contains(['"', ':', '<', '>', '|', '*', '?']), "{name}");
        }
    }

    #[test]
    fn a_file_of_the_same_name_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("taken.zip"), "precious").unwrap();
        let file = tempfile::Builder::new()
            .prefix("taken")
            .rand_bytes(0)
            .suffix(UNFINISHED)
            .tempfile_in(dir.path())
            .unwrap();

        assert_eq!(persist(file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(dir.path().join("taken.zip")).unwrap(), b"precious");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "the refused file is gone"
        );
    }

    #[test]
    fn an_unusable_directory_is_named_with_the_cause() {
        let dir = tempfile::tempdir().unwrap();
        let vanished = dir.path().join("vanished");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        // Read-only even to root, whom permissions do not hold back.
        let read_only = if cfg!(target_os = "linux") {
            Path::new("/proc/self")
        } else {
            Path::new("/")
        };
        for (dir, cause) in [
            (vanished.as_path(), "No such file"),
            (&file, "Not a directory"),
            (read_only, "os error"),
        ] {
            let message = file_into(&report(), dir).unwrap_err().to_string();
            assert!(
                message.contains(dir.to_str().unwrap()) && message.contains(cause),
                "{message}"
            );
        }
    }

    #[test]
    fn a_full_disk_is_an_error() {
        struct Full(Cursor<Vec<u8>>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let room = 600usize.saturating_sub(self.0.get_ref().len());
                if room == 0 {
                    Err(io::ErrorKind::StorageFull.into())
                } else {
                    self.0.write(&bytes[..bytes.len().min(room)])
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl Seek for Full {
            fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
                self.0.seek(to)
            }
        }
        let report = report();
        let full = Full(Cursor::new(Vec::new()));
        let error = report.write_zip(full, &report.members().unwrap()).unwrap_err();
        assert!(error.to_string().contains("no storage space"), "{error}");
    }
}
