//! Puts what was seen into `evidence.json`: the shape is in docs/architecture.md.

use std::path::Path;

use anyhow::{Context, Result};
use report_reader::ReportFiles;
use report_reader::bounded_json::Budget;
use serde_json::{Value, json};

use crate::environment::Environment;
use crate::error::RunError;
use crate::observe::{Observation, WindowBounds, monotonic_ns};
use crate::output::files;
use crate::profile::Reports;
use crate::rig::FiledReport;
use crate::thresholds::Thresholds;

/// The evidence of one run, as it grows.
pub(crate) struct Evidence(Value);

/// What stands at its top.
pub(crate) struct Head<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) command: &'a str,
    pub(crate) started_at: &'a str,
    pub(crate) environment: &'a Environment,
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) client: Value,
    pub(crate) source: Value,
    /// The identity of every binary that takes part, by role.
    pub(crate) binaries: Value,
}

impl Evidence {
    pub(crate) fn new(head: &Head<'_>) -> Self {
        Self(json!({
            "schema": 1,
            "run": {"id": head.run_id, "command": head.command, "started_at": head.started_at},
            "environment": head.environment,
            "thresholds": head.thresholds,
            "client": head.client,
            "source": head.source,
            "binaries": head.binaries,
            "reports": [],
        }))
    }

    /// Notes which process is observed, where that is another one than at first.
    pub(crate) fn set_process(&mut self, pid: u32, started_ns: u64) {
        self.0["client"]["pid"] = pid.into();
        self.0["client"]["started_monotonic_ns"] = started_ns.into();
    }

    #[cfg(test)]
    pub(crate) fn of(value: Value) -> Self {
        Self(value)
    }

    /// Adds one report and what was observed beside it.
    pub(crate) fn push(&mut self, report: Report, observed: Result<Observation, String>, cpu_source: &str) {
        let observer = match observed {
            Ok(observation) => {
                let mut observer = json!(observation);
                observer["cpu_source"] = cpu_source.into();
                observer
            }
            Err(reason) => json!({"unavailable": reason}),
        };
        let Report {
            label,
            filed,
            metrics,
            members,
        } = report;
        self.0["reports"].as_array_mut().expect("made above").push(json!({
            "label": label,
            "zip": format!("{label}.zip"),
            "triggered_monotonic_ns": filed.triggered_ns,
            "appeared_monotonic_ns": filed.appeared_ns,
            "metrics": metrics,
            "members": members,
            "observer": observer,
        }));
    }

    /// What further observers said, as information: no check reads it.
    pub(crate) fn add_witnesses(&mut self, witnesses: Value) {
        self.0["witnesses"] = witnesses;
    }

    pub(crate) fn as_value(&self) -> &Value {
        &self.0
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        files::write_json(path, &self.0)
    }
}

/// One report, read.
pub(crate) struct Report {
    label: &'static str,
    filed: FiledReport,
    metrics: Value,
    members: Value,
}

impl Report {
    /// Keeps the zip as `dir/<label>.zip` and reads it.
    pub(crate) fn read(label: &'static str, filed: FiledReport, dir: &Path) -> Result<Self> {
        let kept = dir.join(format!("{label}.zip"));
        std::fs::rename(&filed.path, &kept)
            .with_context(|| format!("cannot keep {}", filed.path.display()))?;
        let report = ReportFiles::open(&kept).map_err(RunError::of_filed_report)?;
        let (metrics, members) = report
            .into_evidence(&mut Budget::default())
            .map_err(RunError::of_filed_report)?;
        Ok(Self {
            label,
            filed,
            metrics,
            members,
        })
    }

    /// The window that the report claims, or why nothing can be observed over it. A claim that reaches outside of
    /// what lies between trigger and zip is not followed: the verdict fails it, and the observer has no figures.
    ///
    /// On a loaded machine the client waits for a core between its stamps and its readings. Where the report says that it
    /// measured over less than the stamps span, the window's place is known only that well.
    pub(crate) fn claimed_window(&self) -> Result<WindowBounds, String> {
        let claim = &self.members["metadata.json"]["json"]["window"];
        let stamp = |key: &str| {
            claim[key]
                .as_u64()
                .ok_or_else(|| format!("the report claims no window: metadata.json has no window.{key}"))
        };
        let (start_ns, end_ns) = (stamp("start_monotonic_ns")?, stamp("end_monotonic_ns")?);
        let possible =
            self.filed.triggered_ns <= start_ns && start_ns < end_ns && end_ns <= self.filed.appeared_ns;
        if !possible {
            return Err(
                "the report claims a window that does not lie between its trigger and its zip".to_owned(),
            );
        }
        let span_ns = end_ns - start_ns;
        let measured_ns = self.metrics["measured_window_ms"].as_f64().map(|ms| ms * 1e6);
        let shorter = |ns: &u64| (span_ns / 2..span_ns.saturating_sub(STAMP_DELAY_NS)).contains(ns);
        Ok(WindowBounds {
            earliest_ns: start_ns,
            latest_ns: end_ns,
            length_ns: measured_ns.map(|ns| ns as u64).filter(shorter).unwrap_or(span_ns),
        })
    }
}

impl Report {
    /// Between which moments a window lies that the report does not claim, or why that cannot be told: after the trigger,
    /// before the zip appeared, and before the time at which the report says that it was written.
    pub(crate) fn window_from_outside(&self, reports: &Reports) -> Result<WindowBounds, String> {
        let nominal_ms = self.metrics["sample_window_ms"]
            .as_f64()
            .filter(|ms| (1.0..=3_600_000.0).contains(ms));
        let length_ns = nominal_ms.ok_or("the report has no sample_window_ms that could be")? * 1e6;
        let mut latest_ns = self.filed.appeared_ns;
        if let Some(place) = &reports.written_at {
            let written = self.moment(place)?;
            // Times to the second are cut short, not rounded.
            let earliest = written.saturating_sub(CLOCK_STEP_NS);
            let latest = written.saturating_add(1_000_000_000);
            if latest < self.filed.triggered_ns || earliest > self.filed.appeared_ns {
                return Err(format!("{place} does not lie between the trigger and the zip"));
            }
            latest_ns = latest_ns.min(latest);
        }
        Ok(WindowBounds {
            earliest_ns: self.filed.triggered_ns,
            latest_ns,
            length_ns: length_ns as u64,
        })
    }

    /// The pid that the report gives its process.
    pub(crate) fn own_pid(&self) -> Option<u32> {
        let pid = self.members["metadata.json"]["json"]["pid"].as_u64()?;
        u32::try_from(pid).ok()
    }

    /// Refuses a report of another build than the one that was started: a wrapper or a stale process filed it.
    pub(crate) fn check_version(&self, reports: &Reports, started: Option<&str>) -> Result<(), RunError> {
        let (Some(place), Some(started)) = (&reports.version_in, started) else {
            return Ok(());
        };
        let (member, key) = place.split_once('/').unwrap_or((place, ""));
        match self.members[member]["json"][key].as_str() {
            Some(filed) if !started.split_whitespace().any(|word| word == filed) => {
                Err(RunError::Environment(format!(
                    "the {} report was filed by version {filed} ({place}), and the client that was started calls itself \
                     {started:?}: another build files the reports",
                    self.label
                )))
            }
            _ => Ok(()),
        }
    }

    /// A time of the wall clock in a member, on the monotonic clock.
    fn moment(&self, place: &str) -> Result<u64, String> {
        let (member, key) = place.split_once('/').unwrap_or((place, ""));
        let text = self.members[member]["json"][key].as_str().unwrap_or_default();
        let at: jiff::Timestamp = text
            .parse()
            .map_err(|_| format!("{place} is no time: {text:?}"))?;
        let ago_ns = jiff::Timestamp::now().as_nanosecond() - at.as_nanosecond();
        u64::try_from(i128::from(monotonic_ns()) - ago_ns)
            .map_err(|_| format!("{place} is no moment since the machine's start: {text:?}"))
    }
}

/// Stamps are taken so soon before and after the readings, unless the client waits for a core.
const STAMP_DELAY_NS: u64 = 2_000_000;

/// What the wall clock may step while a report is taken.
const CLOCK_STEP_NS: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn report(metadata: Value) -> Report {
        let filed = FiledReport {
            path: PathBuf::new(),
            triggered_ns: 100,
            appeared_ns: 200,
        };
        Report {
            label: "idle",
            filed,
            metrics: json!({}),
            members: json!({"metadata.json": {"json": metadata}}),
        }
    }

    #[test]
    fn only_a_possible_window_is_followed() {
        let window = |start: Value, end: Value| {
            let metadata = json!({"window": {"start_monotonic_ns": start, "end_monotonic_ns": end}});
            report(metadata).claimed_window()
        };
        let whole = WindowBounds {
            earliest_ns: 100,
            latest_ns: 200,
            length_ns: 100,
        };
        assert_eq!(window(json!(100), json!(200)), Ok(whole));
        for (start, end) in [(99, 150), (150, 201), (150, 150), (160, 150)] {
            assert!(
                window(json!(start), json!(end))
                    .expect_err("impossible")
                    .contains("does not lie between")
            );
        }
        for (start, end) in [
            (json!(-1), json!(150)),
            (json!("100"), json!(150)),
            (json!(100), json!(1e30)),
        ] {
            assert!(
                window(start, end)
                    .expect_err("no stamp")
                    .contains("claims no window")
            );
        }
        assert!(report(json!({})).claimed_window().is_err());
    }

    #[test]
    fn a_window_measured_between_late_stamps_lies_somewhere_between_them() {
        let window = |measured_ms: f64| {
            let window = json!({"start_monotonic_ns": 0, "end_monotonic_ns": 2_100_000_000_u64});
            let mut report = report(json!({"window": window}));
            report.filed.triggered_ns = 0;
            report.filed.appeared_ns = 3_000_000_000;
            report.metrics = json!({"measured_window_ms": measured_ms});
            report.claimed_window().expect("possible").length_ns
        };
        assert_eq!(
            window(2000.0),
            2_000_000_000,
            "the client waited 100 ms for a core"
        );
        for measured in [2099.5, 2500.0, 500.0, -1.0] {
            assert_eq!(
                window(measured),
                2_100_000_000,
                "{measured} ms: the stamps are taken at their word"
            );
        }
    }

    #[test]
    fn a_report_of_another_version_than_the_one_started_is_refused() {
        let mut reports = reports(None);
        let report = report(json!({"version": "1.2.3"}));
        let check =
            |reports: &Reports, started| report.check_version(reports, started).map_err(|e| e.to_string());
        assert_eq!(
            check(&reports, Some("x 9.9.9")),
            Ok(()),
            "the profile does not ask"
        );
        reports.version_in = Some("metadata.json/version".to_owned());
        assert_eq!(check(&reports, Some("x 1.2.3 (abcdef)")), Ok(()));
        assert_eq!(check(&reports, None), Ok(()), "the client has no --version");
        let error = check(&reports, Some("x 1.2.30")).expect_err("another");
        assert!(error.contains("1.2.3") && error.contains("1.2.30"), "{error}");
    }

    fn reports(written_at: Option<&str>) -> Reports {
        let written_at = written_at
            .map(|at| format!("written-at = {at:?}\n"))
            .unwrap_or_default();
        toml::from_str(&format!(
            "names = \"*\"\nwhole = \"renamed\"\nwindow = \"outside\"\n{written_at}"
        ))
        .expect("good")
    }

    #[test]
    fn a_window_that_nobody_claims_lies_between_the_trigger_and_the_zip() {
        let now = monotonic_ns();
        let mut report = report(json!({"timestamp": jiff::Timestamp::now().strftime("%FT%TZ").to_string()}));
        report.filed.triggered_ns = now.saturating_sub(3_000_000_000);
        report.filed.appeared_ns = now;
        assert!(
            report
                .window_from_outside(&reports(None))
                .expect_err("no length")
                .contains("sample_window_ms")
        );
        report.metrics = json!({"sample_window_ms": 1000});
        let between = report.window_from_outside(&reports(None)).expect("found");
        assert_eq!(
            (between.earliest_ns, between.latest_ns, between.length_ns),
            (report.filed.triggered_ns, now, 1_000_000_000)
        );
        // Written at the end of it: nothing is gained, and nothing contradicts.
        let written = report.window_from_outside(&reports(Some("metadata.json/timestamp")));
        assert!(written.expect("found").latest_ns <= now);

        // An old zip's time is before the trigger.
        report.members["metadata.json"]["json"]["timestamp"] = json!("2020-01-01T00:00:00Z");
        assert!(
            report
                .window_from_outside(&reports(Some("metadata.json/timestamp")))
                .is_err()
        );
        report.members["metadata.json"]["json"]["timestamp"] = json!("9999-01-01T00:00:00Z");
        assert!(
            report
                .window_from_outside(&reports(Some("metadata.json/timestamp")))
                .is_err()
        );
        report.members["metadata.json"]["json"]["timestamp"] = json!(7);
        let error = report.window_from_outside(&reports(Some("metadata.json/timestamp")));
        assert!(error.expect_err("no time").contains("is no time"));
    }
}
