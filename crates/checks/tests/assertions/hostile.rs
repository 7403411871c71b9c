//! Whatever stands in a report, it is judged.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{assertions, evidence, judge};

/// Any JSON, with keys and texts that the assertions look for.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "reports",
        "label",
        "idle",
        "busy",
        "metrics",
        "process",
        "threads",
        "tid",
        "name",
        "cpu_percent",
        "rss_kb",
        "uptime_secs",
        "missing",
        "members",
        "metadata.json",
        "session.json",
        "json",
        "window",
        "end_monotonic_ns",
        "observer",
        "tasks",
        "unavailable",
        "thresholds",
        "surfaces",
        "width",
        "NaN",
        "",
    ]);
    let number = prop_oneof![
        any::<f64>()
            .prop_filter("JSON has no such number", |f| f.is_finite())
            .prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::sample::select(vec![0.0, -0.0, -1.0, 1e308, -1e308, 1e-308, 0.5]).prop_map(Value::from),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        word.clone().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|object| Value::Object(object.into_iter().collect())),
        ]
    })
}

/// The JSON pointers of everything below a value, itself included.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Array(values) => {
            values
                .iter()
                .enumerate()
                .for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), into));
        }
        Value::Object(entries) => {
            entries
                .iter()
                .for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), into));
        }
        _ => {}
    }
}

/// Everything in the good evidence that the client writes.
fn written_by_the_client() -> Vec<String> {
    let evidence = evidence::macos();
    let mut found = Vec::new();
    for (i, report) in evidence["reports"]
        .as_array()
        .expect("reports")
        .iter()
        .enumerate()
    {
        pointers(&report["metrics"], &format!("/reports/{i}/metrics"), &mut found);
        for member in ["metadata.json", "session.json"] {
            let at = format!("/reports/{i}/members/{member}/json");
            pointers(&report["members"][member]["json"], &at, &mut found);
        }
    }
    found
}

/// One place of a report says anything at all: all checks are still there, none of them lost to an error of another.
#[test]
fn a_hostile_report_fails_checks_and_hides_none() {
    let assertions = assertions();
    let good = evidence::macos();
    let expected: BTreeSet<String> = judge(&assertions, &good)
        .into_iter()
        .map(|row| row.check)
        .collect();

    let places = prop::sample::select(written_by_the_client());
    proptest!(ProptestConfig::with_cases(100), |(pointer in places, anything in any_json())| {
        let mut evidence = good.clone();
        *evidence.pointer_mut(&pointer).expect("it was found there") = anything;
        let mut judged = BTreeSet::new();
        for assertion in &assertions {
            let rows = assertion.judge(&evidence).map_err(|error| TestCaseError::fail(error.to_string()))?;
            judged.extend(rows.into_iter().map(|row| row.check));
        }
        // The one figure that a client need not have.
        let lost: Vec<_> = expected.difference(&judged).filter(|check| !check.ends_with("window.measured")).collect();
        prop_assert!(lost.is_empty(), "{lost:?}");
    });
}

/// What is no evidence at all may be an error, never a panic.
#[test]
fn no_evidence_makes_a_judge_panic() {
    let assertions = assertions();
    let thresholds = evidence::linux()["thresholds"].clone();
    proptest!(|(anything in any_json(), as_report: bool)| {
        let evidence =
            if as_report { json!({"reports": [anything], "thresholds": thresholds}) } else { anything };
        for assertion in &assertions {
            let _ = assertion.judge(&evidence);
        }
    });
}
