//! Defects of the macOS backend and of the census, seeded by the tests of `runtime-metrics` on the model kernel.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::{Ground, SoundRun, Tally, Trial};
use crate::present::steps;
use crate::workspace;

/// The tests that write down what they found.
const TESTS: [&str; 5] = [
    "macos::tests::faults::each_fault_of_the_catalogue_is_found_by_its_check_and_no_other",
    "macos::tests::faults::a_thousand_runs_without_a_fault_raise_no_alarm",
    "macos::tests::leaks::every_leak_is_found_at_every_rate_by_what_it_moves",
    "macos::tests::leaks::what_is_given_back_is_clean",
    "macos::tests::leaks::a_census_that_does_not_count_what_is_there_is_found_out",
];

/// A line of theirs.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Finding {
    Defect {
        defect: String,
        place: String,
        wrong: Option<String>,
    },
    Sound {
        sound: String,
        alarm: Option<String>,
    },
}

pub(super) fn run(tally: &mut Tally) -> Result<()> {
    let dir = tempfile::tempdir().context("cannot create a directory for the model's findings")?;
    let findings = dir.path().join("findings.ndjson");
    let mut command = Command::new(workspace::cargo());
    command.current_dir(workspace::root());
    command.args([
        "test",
        "--package",
        "runtime-metrics",
        "--lib",
        "--quiet",
        "--",
        "--exact",
    ]);
    command.args(TESTS).env("TRUEGAUGE_SELFTEST", &findings);
    steps::running(&command);
    let output = command.output().context("cannot start cargo")?;
    let read = read(&findings, tally)?;
    // A test that found something wrong has failed, and said so in its findings.
    ensure!(
        output.status.success() || tally.has_wrong(Ground::Model),
        "the tests on the model kernel ended with {} after {read} findings:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn read(findings: &Path, tally: &mut Tally) -> Result<usize> {
    let text = std::fs::read_to_string(findings).unwrap_or_default();
    for line in text.lines() {
        let finding =
            serde_json::from_str(line).with_context(|| format!("a finding on the model: {line}"))?;
        match finding {
            Finding::Defect { defect, place, wrong } => tally.trial(Trial {
                defect,
                ground: Ground::Model,
                place,
                wrong,
            }),
            Finding::Sound { sound, alarm } => tally.sound(SoundRun {
                ground: Ground::Model,
                what: sound,
                alarm,
            }),
        }
    }
    Ok(text.lines().count())
}
