//! Reports that somebody sent: what they are, which of them are of one session, and what can be asked of them.
//!
//! | module | what it does |
//! |---|---|
//! | [`read`] | opens what a path names, whatever that turns out to be |
//! | [`origin`] | which client wrote it, on what occasion |
//! | [`session`] | which reports belong together, and when they were taken |
//! | [`excuse`] | what a report of that kind cannot be asked |

mod exemption;
mod origin;
mod read;
mod session;

use std::path::Path;

use anyhow::Result;
use checks::Row;
use report_reader::bounded_json::Budget;
use serde_json::{Value, json};

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

impl SubmittedReport {
    /// Reads what a path names; `-` is standard input.
    pub(crate) fn read(path: &Path, label: String, budget: &mut Budget) -> Result<Self> {
        let (metrics, members) = read::report(path, budget)?;
        Ok(Self::new(label, path.display().to_string(), metrics, members))
    }

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

    fn metadata(&self) -> &Value {
        &self.members["metadata.json"]["json"]
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
        let mut report = json!({
            "label": self.label,
            "zip": self.name,
            "metrics": self.metrics,
            "members": self.members,
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
