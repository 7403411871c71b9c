//! Reports that somebody sent: what they are, which of them are of one session, and what can be asked of them.
//!
//! | module | what it does |
//! |---|---|
//! | [`read`] | opens what a path names: a zip, a directory, a bare runtime-metrics.json |
//! | [`origin`] | which client wrote it, on what occasion |
//! | [`session`] | which reports belong together, and when they were taken |
//! | [`exemption`] | what a report of that kind cannot be asked |

mod exemption;
mod origin;
mod read;
mod session;

use std::path::PathBuf;

use anyhow::anyhow;
use checks::Row;
use report_reader::bounded_json::Budget;
use report_reader::is_canonical;
use serde_json::{Value, json};

use self::origin::Client;
pub(crate) use self::origin::Origin;
use self::session::Stamp;
pub(crate) use self::session::sessions;

/// A report.
#[derive(Debug)]
pub(crate) struct SubmittedReport {
    /// In the ids of its checks: `report1`.
    pub(crate) label: String,
    /// What the command line calls it.
    pub(crate) name: String,
    pub(crate) origin: Origin,
    metrics: Value,
    members: Value,
}

/// A report that was named again under another name.
#[derive(Debug)]
pub(crate) struct Repeat {
    pub(crate) name: String,
    /// The report's label.
    pub(crate) of: String,
}

/// The most reports that are judged at once.
const MAX_REPORTS: usize = 50;

/// What the paths name.
#[derive(Debug, Default)]
pub(crate) struct Submitted {
    /// Each once, however often it was sent.
    pub(crate) reports: Vec<SubmittedReport>,
    pub(crate) repeats: Vec<Repeat>,
    /// Why some files are not read; each error begins with the file's name.
    pub(crate) unread: Vec<anyhow::Error>,
}

/// Reads what the paths name; `-` is standard input.
pub(crate) fn read_all(paths: &[PathBuf]) -> Submitted {
    let mut budget = Budget::default();
    let mut submitted = Submitted::default();
    for path in paths {
        for outcome in read::reports(path, &mut budget) {
            match outcome {
                Ok(found) => submitted.add(found),
                Err(error) => submitted.unread.push(error),
            }
        }
    }
    submitted
}

impl Submitted {
    fn add(&mut self, found: read::Found) {
        let label = format!("report{}", self.reports.len() + 1);
        let mut report = SubmittedReport::new(label, found.name, found.metrics, found.members);
        let Some(known) = self.reports.iter_mut().find(|known| known.is_same(&report)) else {
            if self.reports.len() < MAX_REPORTS {
                self.reports.push(report);
            } else {
                let why = anyhow!("more than {MAX_REPORTS} reports are not judged at once");
                self.unread.push(why.context(report.name));
            }
            return;
        };
        // The one with more files tells more.
        if known.files() < report.files() {
            std::mem::swap(known, &mut report);
            std::mem::swap(&mut known.label, &mut report.label);
        }
        self.repeats.push(Repeat {
            name: report.name,
            of: known.label.clone(),
        });
    }
}

impl SubmittedReport {
    fn new(label: String, name: String, metrics: Value, members: Option<Value>) -> Self {
        let origin = Origin::of(members.as_ref());
        Self {
            label,
            name,
            origin,
            metrics,
            members: members.unwrap_or_else(|| json!({})),
        }
    }

    /// True if the other one is the same report: its figures, down to the last digit, and its other files, of those that both
    /// have. People add notes, and take pictures out.
    fn is_same(&self, other: &Self) -> bool {
        let differs = |(name, member): (&String, &Value)| {
            let of_other = other.members.get(name);
            of_other.is_some_and(|of_other| of_other != member)
        };
        self.metrics == other.metrics && !self.members.as_object().into_iter().flatten().any(differs)
    }

    /// When its window ended, by the monotonic clock.
    fn window_end_ns(&self) -> Option<u64> {
        self.metadata()["window"]["end_monotonic_ns"].as_u64()
    }

    fn files(&self) -> usize {
        self.members.as_object().map_or(0, serde_json::Map::len)
    }

    /// True if there are figures that a check can judge.
    pub(crate) fn has_figures(&self) -> bool {
        self.metrics["process"].is_object() || self.metrics["threads"].is_array()
    }

    fn metadata(&self) -> &Value {
        &self.members["metadata.json"]["json"]
    }

    fn session(&self) -> &Value {
        &self.members["session.json"]["json"]
    }

    /// The platform that the metadata names, or else the figures.
    pub(crate) fn platform(&self) -> &str {
        let named = self.metadata()["platform_os"].as_str();
        named
            .or_else(|| self.metrics["platform"].as_str())
            .unwrap_or("unknown")
    }

    pub(crate) fn architecture(&self) -> Option<&str> {
        self.metadata()["platform_arch"].as_str()
    }

    /// As a report in evidence: without trigger, appearance and observer, which nobody recorded.
    pub(crate) fn to_evidence(&self) -> Value {
        let mut members = self.members.clone();
        if let (true, Some(members)) = (self.origin.client != Client::Unknown, members.as_object_mut()) {
            // Notes that people put beside the files of a client that is known are not the client's words.
            members.retain(|name, member| is_canonical(name) || member.get("text").is_none());
        }
        let mut report = json!({
            "label": self.label,
            "zip": self.name,
            "metrics": self.metrics,
            "members": members,
        });
        if let Some(stamp) = Stamp::of(self) {
            report["stamped"] = json!({"unix_secs": stamp.unix_secs, "within_secs": stamp.within_secs});
        }
        report
    }

    /// Skips what a report of this kind cannot be asked.
    pub(crate) fn excuse(&self, rows: &mut [Row]) {
        let of_this = rows
            .iter_mut()
            .filter(|row| row.check.split('.').any(|part| part == self.label));
        for row in of_this.filter(|row| row.passed == Some(false)) {
            if let Some(reason) = exemption::find(self, &row.check) {
                row.passed = None;
                row.reason = Some(reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sent(label: &str, metadata: Value, metrics: Value) -> SubmittedReport {
        let members = json!({"metadata.json": {"bytes": 1, "json": metadata}});
        SubmittedReport::new(label.to_owned(), format!("{label}.zip"), metrics, Some(members))
    }

    #[test]
    fn only_a_failure_of_this_report_is_excused() {
        let report = sent(
            "report1",
            json!({"ryll_version": "0.3.0", "platform_os": "linux"}),
            json!({}),
        );
        let row = |check: &str, passed: bool| -> Row {
            serde_json::from_value(json!({"check": check, "passed": passed, "measured": [3], "allowed": []}))
                .expect("a row")
        };
        let mut rows = [
            row("6.report1.ascending", false),
            row("6.report1.ascending", true),
            row("6.report2.ascending", false),
            row("6.report1.count", false),
        ];
        report.excuse(&mut rows);
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.passed, row.reason.is_some()))
            .collect();
        assert_eq!(
            told,
            [
                (None, true),
                (Some(true), false),
                (Some(false), false),
                (Some(false), false)
            ]
        );
    }
}
