//! Defects of the macOS backend and of its resource counts, seeded by the tests of `runtime-metrics` on the model kernel.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::process::Runner;
use crate::tally::Tally;
use crate::trial::{CleanRun, Level, Trial};

/// Most of it is for building the tests; they take seconds.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// What a test writes down, one line each.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Finding {
    Defect {
        defect: String,
        place: String,
        #[serde(rename = "wrong")]
        mismatch: Option<String>,
    },
    Clean {
        #[serde(rename = "sound")]
        description: String,
        #[serde(rename = "alarm")]
        false_positive: Option<String>,
    },
}

pub(crate) fn run(checkout: &Path, runner: &Runner, tally: &mut Tally) -> Result<()> {
    let dir = tempfile::tempdir().context("cannot create a directory for the model's findings")?;
    let [findings, log] = ["findings.ndjson", "tests.log"].map(|name| dir.path().join(name));
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["test", "--package", "runtime-metrics", "--lib", "macos::tests::"])
        .current_dir(checkout)
        .env("TRUEGAUGE_SELFTEST", &findings)
        .stdout(File::create(&log).with_context(|| format!("cannot create {}", log.display()))?);
    let status = runner.run(command, LIMIT)?;
    let count = read(&findings, tally)?;
    // A test with a mismatch has failed, and has written it down.
    ensure!(
        status.success() || tally.has_mismatch(Level::Model),
        "the tests on the model kernel ended with {status} after {count} findings:\n{}",
        fs::read_to_string(&log).unwrap_or_default()
    );
    Ok(())
}

fn read(findings: &Path, tally: &mut Tally) -> Result<usize> {
    let text = fs::read_to_string(findings).unwrap_or_default();
    for line in text.lines() {
        let finding =
            serde_json::from_str(line).with_context(|| format!("a finding on the model: {line}"))?;
        match finding {
            Finding::Defect {
                defect,
                place,
                mismatch,
            } => tally.add_trial(Trial {
                defect,
                level: Level::Model,
                place,
                mismatch,
            }),
            Finding::Clean {
                description,
                false_positive,
            } => tally.add_clean_run(CleanRun {
                level: Level::Model,
                description,
                false_positive,
            }),
        }
    }
    Ok(text.lines().count())
}
