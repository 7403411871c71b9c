//! The six assertion files: what they pass, and that each of their checks can fail.

mod evidence;
mod faults;
mod hostile;
mod jq;
mod published_formula;

use std::collections::BTreeSet;

use serde_json::Value;
use verdict::{Assertion, Outcome, Row, Tally};

use crate::faults::faults;

/// The assertion files, by their test's number less one.
const FILES: [&str; 6] = [
    "1-variant.jq",
    "2-available.jq",
    "3-cpu.jq",
    "4-memory.jq",
    "5-uptime.jq",
    "6-threads.jq",
];

fn path(file: &str) -> String {
    format!("{}/../../xtask/assertions/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn assertions() -> Vec<Assertion> {
    FILES
        .into_iter()
        .map(|file| {
            let source =
                std::fs::read_to_string(path(file)).unwrap_or_else(|e| panic!("{}: {e}", path(file)));
            Assertion::compile(file, &source).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect()
}

fn judge(assertions: &[Assertion], evidence: &Value) -> Vec<Row> {
    assertions
        .iter()
        .flat_map(|a| a.judge(evidence).unwrap_or_else(|e| panic!("{e}")))
        .collect()
}

fn checks(rows: &[Row], outcome: Outcome) -> BTreeSet<String> {
    rows.iter()
        .filter(|row| row.outcome() == outcome)
        .map(|row| row.check.clone())
        .collect()
}

#[test]
fn good_evidence_passes() {
    let assertions = assertions();
    for (name, evidence) in [
        ("linux", evidence::linux()),
        ("macos", evidence::macos()),
        ("strict", evidence::strict()),
    ] {
        let rows = judge(&assertions, &evidence);
        let tally: Tally = rows.iter().collect();
        let rest: Vec<_> = rows.iter().filter(|row| row.outcome() != Outcome::Pass).collect();
        assert_eq!(tally.outcome(), Outcome::Pass, "{name}: {rest:#?}");
    }
}

#[test]
fn every_row_says_what_where_and_what_to_do() {
    for (file, assertion) in FILES.iter().zip(assertions()) {
        for row in assertion.judge(&evidence::macos()).unwrap() {
            assert!(
                row.check.starts_with(&file[..2].replace('-', ".")),
                "{file}: {}",
                row.check
            );
            for text in [&row.title, &row.location, &row.remedy] {
                assert!(text.as_ref().is_some_and(|text| !text.is_empty()), "{row:?}");
            }
            assert!(
                row.unit.is_some() || !row.measured.is_number() || row.check.ends_with(".pid"),
                "{row:?}"
            );
        }
    }
}

#[test]
fn every_fault_fails_its_checks_and_no_other() {
    let assertions = assertions();
    for fault in faults() {
        let rows = judge(&assertions, &fault.evidence);
        assert_eq!(checks(&rows, Outcome::Fail), fault.fails, "fails: {}", fault.name);
        assert_eq!(
            checks(&rows, Outcome::Inconclusive),
            fault.skips,
            "skips: {}",
            fault.name
        );
    }
}

#[test]
fn every_check_has_a_fault_that_fails_it() {
    let assertions = assertions();
    let seeded: BTreeSet<String> = faults().into_iter().flat_map(|fault| fault.fails).collect();
    let all = checks(&judge(&assertions, &evidence::macos()), Outcome::Pass);
    let never_failed: Vec<_> = all.difference(&seeded).collect();
    assert!(
        never_failed.is_empty(),
        "seed a fault in faults.rs for each of {never_failed:?}"
    );
}

#[test]
fn every_test_has_faults_that_fail_it_alone() {
    for number in 1..=6 {
        let alone = faults()
            .iter()
            .filter(|fault| fault.tests() == BTreeSet::from([number]))
            .count();
        assert!(alone >= 4, "test {number}: {alone}");
    }
}
