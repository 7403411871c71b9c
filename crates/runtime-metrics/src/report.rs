//! The shape of `runtime-metrics.json`.

use std::collections::BTreeMap;

use serde::Serialize;

/// The result of one [`sample`](crate::sample).
///
/// Serialises without a tag: a reader tells the two variants apart by `available`, which only the second has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum RuntimeMetrics {
    /// The platform has a backend, and its snapshots succeeded.
    Available(ProcessReport),
    /// No figures, and why.
    Unavailable(Unavailable),
}

impl RuntimeMetrics {
    /// The figures, where there are any.
    #[must_use]
    pub fn available(&self) -> Option<&ProcessReport> {
        match self {
            Self::Available(report) => Some(report),
            Self::Unavailable(_) => None,
        }
    }

    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable(Unavailable {
            platform: std::env::consts::OS.to_owned(),
            available: false,
            reason: reason.into(),
        })
    }
}

/// The figures of one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProcessReport {
    /// The window that the caller asked for, in milliseconds.
    pub sample_window_ms: u64,
    /// The window between the two readings of the process's CPU clock, in milliseconds, as the monotonic clock
    /// measured it. Percentages are of this.
    pub measured_window_ms: f64,
    /// Figures of the process as a whole.
    pub process: ProcessMetrics,
    /// One entry for each thread alive at the end of the window, ascending by `tid`.
    pub threads: Vec<ThreadMetrics>,
    /// [`std::env::consts::OS`].
    pub platform: String,
    /// Figures that could not be read: the path into this structure (`process.rss_kb`, `threads.1234.name`) and the
    /// reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, String>,
}

impl ProcessReport {
    /// One to be filled.
    pub(crate) fn empty() -> Self {
        Self {
            sample_window_ms: 0,
            measured_window_ms: 0.0,
            process: ProcessMetrics::default(),
            threads: Vec::new(),
            platform: std::env::consts::OS.to_owned(),
            missing: BTreeMap::new(),
        }
    }
}

/// Figures of the process as a whole. Absent ones are named in [`ProcessReport::missing`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProcessMetrics {
    /// User and system time of all threads, living or ended inside the window, in percent of one core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Resident size in KiB at the end of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_kb: Option<u64>,
    /// Virtual size in KiB at the end of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_size_kb: Option<u64>,
    /// Physical footprint in KiB at the end of the window: what macOS's Activity Monitor calls "Memory". Only
    /// macOS has the notion; elsewhere it is absent without being missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footprint_kb: Option<u64>,
    /// Seconds from [`init_at_startup`](crate::init_at_startup) to the end of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_secs: Option<f64>,
}

/// Figures of one thread. Absent ones are named in [`ProcessReport::missing`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ThreadMetrics {
    /// The kernel's thread id: `gettid` on Linux, the 64-bit `thread_id` on macOS.
    pub tid: u64,
    /// The thread's name as the kernel has it: at most 15 bytes on Linux, 63 on macOS, possibly empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// User and system time in percent of one core. A thread born inside the window is charged its whole clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
}

impl ThreadMetrics {
    /// One to be filled.
    pub(crate) fn empty() -> Self {
        Self {
            tid: 0,
            name: None,
            cpu_percent: None,
        }
    }
}

/// No figures, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unavailable {
    /// [`std::env::consts::OS`].
    pub platform: String,
    /// Always `false`.
    pub available: bool,
    /// The reason.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> ProcessReport {
        ProcessReport {
            sample_window_ms: 2000,
            measured_window_ms: 2000.41,
            process: ProcessMetrics {
                cpu_percent: Some(12.5),
                rss_kb: Some(65536),
                vm_size_kb: Some(131_072),
                footprint_kb: None,
                uptime_secs: Some(47.2),
            },
            threads: vec![ThreadMetrics {
                tid: 1234,
                name: Some("tokio-rt-worker".to_owned()),
                cpu_percent: Some(5.0),
            }],
            platform: "linux".to_owned(),
            missing: BTreeMap::new(),
        }
    }

    #[test]
    fn a_report_has_the_published_shape() {
        let json = serde_json::to_value(RuntimeMetrics::Available(report())).expect("JSON");
        let expected = json!({
            "sample_window_ms": 2000,
            "measured_window_ms": 2000.41,
            "process": {"cpu_percent": 12.5, "rss_kb": 65536, "vm_size_kb": 131_072, "uptime_secs": 47.2},
            "threads": [{"tid": 1234, "name": "tokio-rt-worker", "cpu_percent": 5.0}],
            "platform": "linux",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn absent_figures_leave_no_null_and_a_reason() {
        let mut bare = report();
        bare.process = ProcessMetrics {
            footprint_kb: Some(1),
            ..ProcessMetrics::default()
        };
        bare.threads[0] = ThreadMetrics {
            tid: 1234,
            name: None,
            cpu_percent: None,
        };
        bare.missing = BTreeMap::from([("process.rss_kb".to_owned(), "no statm".to_owned())]);
        let json = serde_json::to_value(RuntimeMetrics::Available(bare)).expect("JSON");
        assert_eq!(json["process"], json!({"footprint_kb": 1}));
        assert_eq!(json["threads"], json!([{"tid": 1234}]));
        assert_eq!(json["missing"], json!({"process.rss_kb": "no statm"}));
    }

    #[test]
    fn an_unavailable_one_has_the_published_shape() {
        let metrics = RuntimeMetrics::unavailable("no backend");
        let expected = json!({"platform": std::env::consts::OS, "available": false, "reason": "no backend"});
        assert_eq!(serde_json::to_value(metrics).expect("JSON"), expected);
    }
}
