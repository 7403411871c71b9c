//! What a run came to: the one model of which the terminal's last lines, `results.json`, `junit.xml`, `summary.md`,
//! `report.html` and GitHub's annotations are views (`crate::output`).
//!
//! `docs/results.schema.json` describes it to others; a change here is a change there.

mod artifacts;
mod legs;
mod matrix;
mod reports;
mod soak;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use checks::{Outcome, Row, Tally};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::artifacts::{Artifact, SOAK_PICTURES};
pub(crate) use self::legs::{Leg, is_retried, legs};
pub(crate) use self::matrix::{Count, Matrix, MatrixLine};
pub(crate) use self::reports::{Report, Thread};
pub(crate) use self::soak::{Bounds, Experiment, Finding, Soak};
use crate::binary_identity::BinaryIdentity;
use crate::environment::Environment;
use crate::error::Exit;
use crate::output::console::shown_path;
use crate::preflight::Probe;

/// The version of the model: raised when a reader of the older one would misread it.
pub(crate) const SCHEMA: u32 = 1;

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) schema: u32,
    pub(crate) verdict: Verdict,
    /// Begins with the verdict's word: what the terminal's last line says.
    pub(crate) sentence: String,
    pub(crate) run: Run,
    pub(crate) environment: Environment,
    /// The client's profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// The binaries that took part, by role; absent where reports were judged without a run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) binaries: BTreeMap<String, BinaryIdentity>,
    /// The deviations that were allowed, by name, as they stand in the evidence.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) thresholds: Map<String, Value>,
    pub(crate) checks: Vec<Row>,
    /// What the reports and the observer say, side by side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) reports: Vec<Report>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) soak: Option<Soak>,
    /// What the system was asked for before the run, and refused or gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) preflight: Vec<Probe>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) artifacts: Vec<Artifact>,
}

/// Which run it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) id: String,
    /// The command line that shows it again.
    pub(crate) command: String,
    /// RFC 3339.
    pub(crate) started_at: String,
    pub(crate) elapsed_secs: f64,
    /// Of the coins that a soak threw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<String>,
    /// The time that a soak was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) box_secs: Option<f64>,
}

/// What a verdict's sentence adds where other assertions than the embedded ones judged.
pub(crate) fn judged_by(assertions: Option<&Path>) -> String {
    assertions.map_or_else(String::new, |dir| {
        format!(", judged by the assertions of {}", shown_path(dir))
    })
}

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Pass,
    Fail,
    Inconclusive,
    /// Nothing was judged: the environment or the command line was at fault.
    Error,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Error => "ERROR",
        })
    }
}

impl Verdict {
    /// As it stands in `results.json`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Error => "error",
        }
    }

    /// The exit code of a command that came to this.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Pass => Exit::Pass,
            Self::Fail => Exit::Fail,
            Self::Inconclusive => Exit::Inconclusive,
            Self::Error => Exit::Environment,
        }
    }
}

impl From<Exit> for Verdict {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Pass => Self::Pass,
            Exit::Fail => Self::Fail,
            Exit::Inconclusive => Self::Inconclusive,
            Exit::Environment => Self::Error,
        }
    }
}

impl Run {
    /// A run that ends now.
    pub(crate) fn ended(id: &str, command: String, started_at: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            command,
            started_at: started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            elapsed_secs: Timestamp::now().duration_since(started_at).as_secs_f64(),
            seed: None,
            box_secs: None,
        }
    }
}

impl Results {
    /// What is known of a run before anything was judged.
    pub(crate) fn new(run: Run, environment: Environment, verdict: Verdict, sentence: String) -> Self {
        Self {
            schema: SCHEMA,
            verdict,
            sentence,
            run,
            environment,
            profile: None,
            binaries: BTreeMap::new(),
            thresholds: Map::new(),
            checks: Vec::new(),
            reports: Vec::new(),
            soak: None,
            preflight: Vec::new(),
            artifacts: Vec::new(),
        }
    }

    /// A run that ended before its verdict.
    pub(crate) fn of_error(run: Run, environment: Environment, error: &anyhow::Error) -> Self {
        let verdict = Verdict::from(Exit::of(error));
        Self::new(run, environment, verdict, format!("{verdict}: {error:#}"))
    }

    /// Adds the thresholds and the reports of some evidence.
    #[must_use]
    pub(crate) fn with_evidence(mut self, evidence: &Value) -> Self {
        self.profile = evidence["client"]["profile"].as_str().map(str::to_owned);
        self.binaries = serde_json::from_value(evidence["binaries"].clone()).unwrap_or_default();
        self.thresholds = evidence["thresholds"].as_object().cloned().unwrap_or_default();
        self.reports = reports::of_evidence(evidence);
        self
    }

    pub(crate) fn tally(&self) -> Tally {
        self.checks.iter().collect()
    }

    /// The labels of the reports, in order.
    pub(crate) fn labels(&self) -> Vec<&str> {
        self.reports.iter().map(|report| report.label.as_str()).collect()
    }

    /// The checks that did not pass, failures first.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = &Row> {
        let of = |outcome| self.checks.iter().filter(move |row| row.outcome() == outcome);
        of(Outcome::Fail).chain(of(Outcome::Inconclusive))
    }

    /// Reads a `results.json`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let bytes = std::fs::metadata(path)?.len();
            ensure!(
                bytes <= MOST_BYTES,
                "{bytes} bytes, at most {MOST_BYTES} are read"
            );
            let bytes = std::fs::read(path)?;
            let version: Version = serde_json::from_slice(&bytes)?;
            ensure!(
                version.schema == SCHEMA,
                "it is of schema {}, and this program reads {SCHEMA}",
                version.schema
            );
            let results: Self = serde_json::from_slice(&bytes)?;
            let outcomes = || results.checks.iter().map(Row::outcome);
            ensure!(
                results.verdict != Verdict::Pass
                    || outcomes().any(|outcome| outcome == Outcome::Pass)
                        && outcomes().all(|outcome| outcome != Outcome::Fail),
                "its verdict is PASS, and its checks say otherwise"
            );
            Ok(results)
        };
        read().with_context(|| format!("cannot read {}", path.display()))
    }
}

/// A results.json of a run is some tens of kilobytes.
const MOST_BYTES: u64 = 16 << 20;

/// What every version of the model has.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

#[cfg(test)]
pub(crate) mod examples;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_survive_the_way_to_the_file_and_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("results.json");
        let results = examples::failed();
        crate::output::files::write_json(&path, &results).expect("written");
        let read = Results::read(&path).expect("read");
        let json = |results: &Results| serde_json::to_value(results).expect("JSON");
        assert_eq!(json(&read), json(&results));
    }

    #[test]
    fn a_verdict_that_its_checks_contradict_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("results.json");
        let mut results = examples::failed();
        results.verdict = Verdict::Pass;
        let read = |results: &Results| {
            crate::output::files::write_json(&path, results).expect("written");
            Results::read(&path)
                .map(drop)
                .map_err(|error| format!("{error:#}"))
        };
        assert!(
            read(&results)
                .expect_err("a failed row")
                .contains("say otherwise")
        );
        results.checks.clear();
        assert!(
            read(&results)
                .expect_err("nothing judged")
                .contains("say otherwise")
        );
    }

    #[test]
    fn what_is_no_results_file_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("results.json");
        for (content, said) in [
            ("", "EOF"),
            ("[]", "expected struct"),
            ("{\"schema\": 99}", "of schema 99"),
            ("{\"schema\": 1}", "missing field"),
        ] {
            std::fs::write(&path, content).expect("written");
            let error = format!("{:#}", Results::read(&path).expect_err(content));
            assert!(error.contains(said) && error.contains("results.json"), "{error}");
        }
    }

    #[test]
    fn failures_come_before_what_was_skipped() {
        let results = examples::failed();
        let outcomes: Vec<Outcome> = results.troubles().map(Row::outcome).collect();
        assert_eq!(outcomes, [Outcome::Fail, Outcome::Inconclusive]);
    }
}
