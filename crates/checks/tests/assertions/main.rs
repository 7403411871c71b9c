//! The six assertion files: what they pass, and that each of their checks can fail.

mod evidence;
mod hostile;
mod jq;
mod published_formula;

use std::collections::BTreeSet;

use checks::{Assertion, EMBEDDED, Outcome, Row, Tally};
use serde_json::Value;

use crate::evidence::cases;

fn assertions() -> Vec<Assertion> {
    EMBEDDED
        .iter()
        .map(|(file, source)| Assertion::compile(*file, source).unwrap_or_else(|e| panic!("{e}")))
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
    for ((file, _), assertion) in EMBEDDED.iter().zip(assertions()) {
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
fn every_defect_fails_its_checks_and_no_other() {
    let assertions = assertions();
    let mut wrong = Vec::new();
    for case in cases() {
        let rows = judge(&assertions, &case.evidence);
        let found = (checks(&rows, Outcome::Fail), checks(&rows, Outcome::Inconclusive));
        let expected = (case.fails, case.skips);
        if found != expected {
            wrong.push(format!(
                "{} in {}: {found:?}, not {expected:?}",
                case.id, case.place
            ));
        }
    }
    assert!(wrong.is_empty(), "failed and skipped: {wrong:#?}");
}

#[test]
fn every_check_has_a_defect_that_fails_it() {
    let assertions = assertions();
    let seeded: BTreeSet<String> = cases().into_iter().flat_map(|case| case.fails).collect();
    let all = checks(&judge(&assertions, &evidence::macos()), Outcome::Pass);
    let never_failed: Vec<_> = all.difference(&seeded).collect();
    assert!(
        never_failed.is_empty(),
        "seed a defect in crates/seeded-defects/catalogue.toml for each of {never_failed:?}"
    );
}

#[test]
fn every_test_has_defects_that_fail_it_alone() {
    let cases = cases();
    for (file, _) in EMBEDDED {
        let number = file.split('-').next().expect("a name begins with its number");
        let of_this_test = |check: &String| check.starts_with(&format!("{number}."));
        let alone = cases
            .iter()
            .filter(|case| !case.fails.is_empty() && case.fails.iter().all(of_this_test))
            .count();
        assert!(alone >= 4, "test {number}: {alone}");
    }
}
