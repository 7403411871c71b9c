//! Puts what was seen into `evidence.json`: the shape is in docs/architecture.md.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bounded_json::Budget;
use crate::environment::Environment;
use crate::observe::{Observation, Window};
use crate::plan::Thresholds;
use crate::present::files;
use crate::report_zip::ReportZip;
use crate::rig::Filed;

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
            "reports": [],
        }))
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
    filed: Filed,
    metrics: Value,
    members: Value,
}

impl Report {
    /// Keeps the zip as `dir/<label>.zip` and reads it.
    pub(crate) fn read(label: &'static str, filed: Filed, dir: &Path) -> Result<Self> {
        let kept = dir.join(format!("{label}.zip"));
        std::fs::rename(&filed.path, &kept)
            .with_context(|| format!("cannot keep {}", filed.path.display()))?;
        let (metrics, members) = ReportZip::open(&kept)?.into_evidence(&mut Budget::default())?;
        Ok(Self {
            label,
            filed,
            metrics,
            members,
        })
    }

    /// The window that the report claims, or why nothing can be observed over it. A claim that reaches outside of
    /// what lies between trigger and zip is not followed: the verdict fails it, and the observer has no figures.
    pub(crate) fn claimed_window(&self) -> Result<Window, String> {
        let claim = &self.members["metadata.json"]["json"]["window"];
        let stamp = |key: &str| {
            claim[key]
                .as_u64()
                .ok_or_else(|| format!("the report claims no window: metadata.json has no window.{key}"))
        };
        let window = Window {
            start_ns: stamp("start_monotonic_ns")?,
            end_ns: stamp("end_monotonic_ns")?,
        };
        let possible = self.filed.triggered_ns <= window.start_ns
            && window.start_ns < window.end_ns
            && window.end_ns <= self.filed.appeared_ns;
        if possible {
            Ok(window)
        } else {
            Err("the report claims a window that does not lie between its trigger and its zip".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn report(metadata: Value) -> Report {
        let filed = Filed {
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
        assert_eq!(
            window(json!(100), json!(200)),
            Ok(Window {
                start_ns: 100,
                end_ns: 200
            })
        );
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
}
