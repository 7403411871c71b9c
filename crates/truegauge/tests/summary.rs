//! `truegauge summary` over the results of a CI matrix, as artifacts are downloaded.
#![cfg(unix)]

mod reports;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use reports::{Sent, judge_into, ours, run};
use serde_json::{Value, json};

/// Results of a real judgement.
fn results() -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().join("report.zip");
    std::fs::write(&report, ours(12.0).zip()).expect("written");
    let out = dir.path().join("out");
    let sent = judge_into(&out, &report);
    assert_eq!(sent.code, 0, "{sent:?}");
    sent.results(&out)
}

fn put(root: &Path, place: &str, results: &Value) {
    let dir = root.join(place);
    std::fs::create_dir_all(&dir).expect("created");
    std::fs::write(dir.join("results.json"), results.to_string()).expect("written");
}

fn summary(root: &Path, out: &Path) -> Sent {
    summary_of_legs(root, out, &[], &[])
}

/// A summary that expects legs, in an environment with further variables.
fn summary_of_legs(root: &Path, out: &Path, legs: &[&str], env: &[(&str, &OsStr)]) -> Sent {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegauge"));
    command.arg("summary").arg(root).arg("--out").arg(out);
    if !legs.is_empty() {
        command.arg("--expect").arg(legs.join(","));
    }
    run(&mut command, None, env)
}

fn of_revision(mut results: Value, revision: &str) -> Value {
    results["environment"]["git_revision"] = json!(revision);
    results
}

fn inconclusive(mut results: Value) -> Value {
    results["verdict"] = json!("inconclusive");
    results
}

fn of_system(mut results: Value, system: &str) -> Value {
    results["environment"]["os_version"] = json!(system);
    results
}

fn failed(mut results: Value) -> Value {
    results["verdict"] = json!("fail");
    let checks = results["checks"].as_array_mut().expect("checks");
    let row = checks.iter_mut().find(|row| row["check"] == "4.report1.order");
    row.expect("the check")["passed"] = json!(false);
    results
}

#[test]
fn a_matrix_is_one_table_and_one_page() {
    let (root, out) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    let good = results();
    put(
        root.path(),
        "verify-macos-26/20261122T201800Z-abcd",
        &of_system(good.clone(), "macOS 26.1"),
    );
    put(
        root.path(),
        "verify-macos-15/20261122T201801Z-abcd",
        &failed(of_system(good.clone(), "macOS 15.7")),
    );
    put(
        root.path(),
        "verify-linux/a/20261122T201802Z-abcd",
        &of_system(good.clone(), "Ubuntu 24.04"),
    );
    let sent = summary(root.path(), out.path());
    assert_eq!(sent.code, 1, "{sent:?}");
    assert!(
        sent.last_line()
            .starts_with("FAIL: 3 runs on 3 systems: 2 passed, 1 failed"),
        "{sent:?}"
    );
    assert!(
        sent.stdout
            .contains("differs: 4.order (virtual size is not below resident size)"),
        "{sent:?}"
    );
    let page = std::fs::read_to_string(out.path().join("summary.html")).expect("a page");
    assert!(
        page.contains("FAIL 1 of 1") && page.contains("verify-macos-15"),
        "{page}"
    );
    let markdown = std::fs::read_to_string(out.path().join("summary.md")).expect("Markdown");
    assert!(markdown.contains("| 4.order |"), "{markdown}");

    // One that cannot be read is no reason to say less of the others: what failed has failed.
    put(root.path(), "verify-later", &json!({"schema": 7}));
    let sent = summary(root.path(), out.path());
    assert_eq!(sent.code, 1, "{sent:?}");
    assert!(
        sent.stderr
            .contains("verify-later/results.json: it is of schema 7"),
        "{sent:?}"
    );
    assert!(
        sent.last_line().contains("3 runs on 3 systems")
            && sent.last_line().contains("1 file could not be read")
    );
}

#[test]
fn the_exit_code_is_the_heaviest_runs() {
    let good = results();
    for (verdicts, code) in [
        (&["pass", "pass"][..], 0),
        (&["pass", "inconclusive"], 3),
        (&["inconclusive", "fail"], 1),
        (&["fail", "error"], 1),
        (&["pass", "error"], 2),
    ] {
        let (root, out) = (
            tempfile::tempdir().expect("one"),
            tempfile::tempdir().expect("two"),
        );
        for (index, verdict) in verdicts.iter().enumerate() {
            let mut results = good.clone();
            results["verdict"] = json!(verdict);
            put(root.path(), &index.to_string(), &results);
        }
        let sent = summary(root.path(), out.path());
        assert_eq!(sent.code, code, "{verdicts:?}: {sent:?}");
    }
}

#[test]
fn where_there_is_nothing_to_summarise_that_is_said() {
    let (root, out) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    let sent = summary(root.path(), out.path());
    assert_eq!(sent.code, 2, "{sent:?}");
    assert!(sent.stderr.contains("there is no results.json in"), "{sent:?}");
    let sent = summary(&root.path().join("gone"), out.path());
    assert_eq!(sent.code, 2, "{sent:?}");
    assert!(sent.stderr.contains("gone is no directory"), "{sent:?}");
}

const LEGS: [&str; 5] = [
    "verify-macos-26",
    "verify-macos-15",
    "verify-macos-26-intel",
    "verify-macos-15-intel",
    "verify-macos-26-hardened",
];

/// Two runs of one command, the first of them INCONCLUSIVE, as a leg leaves them that runs once more.
fn put_retried(root: &Path, leg: &str, first: &Value, second: &Value) {
    for (index, results) in [first, second].into_iter().enumerate() {
        let mut results = results.clone();
        results["run"]["started_at"] = json!(format!("2026-11-22T20:1{index}:00Z"));
        put(root, &format!("{leg}/run-{index}"), &results);
    }
}

#[test]
fn a_missing_leg_and_one_of_another_revision_are_named_and_exit_2() {
    let (root, out) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    let good = of_revision(results(), "0123456789ab");
    for leg in ["verify-macos-26", "verify-macos-15-intel"] {
        put(root.path(), &format!("{leg}/run"), &good);
    }
    put_retried(
        root.path(),
        "verify-macos-26-hardened",
        &inconclusive(good.clone()),
        &good,
    );
    put(
        root.path(),
        "verify-macos-26-intel/run",
        &of_revision(good.clone(), "fedcba987654"),
    );
    let page = out.path().join("step-summary.md");
    let sent = summary_of_legs(
        root.path(),
        out.path(),
        &LEGS,
        &[
            ("GITHUB_ACTIONS", "true".as_ref()),
            ("GITHUB_STEP_SUMMARY", page.as_os_str()),
        ],
    );
    assert_eq!(sent.code, 2, "{sent:?}");
    let last = sent.last_line();
    assert!(
        last.starts_with("ERROR: 4 runs on 1 system: 4 passed, 0 failed, 0 inconclusive"),
        "{last}"
    );
    assert!(
        last.ends_with(
            "; verify-macos-15: no results; verify-macos-26-intel: pass, of revision fedcba987654"
        ),
        "{last}"
    );
    let table = "| leg | verdicts |\n|---|---|\n| verify-macos-26 | pass |\n| verify-macos-15 | no results |\n\
                 | verify-macos-26-intel | pass, of revision fedcba987654 |\n| verify-macos-15-intel | pass |\n\
                 | verify-macos-26-hardened | inconclusive, pass |\n";
    let markdown = std::fs::read_to_string(page).expect("the step's summary");
    assert!(markdown.contains(table), "{markdown}");
    let html = std::fs::read_to_string(out.path().join("summary.html")).expect("a page");
    assert!(
        html.contains("<dt>verify-macos-15</dt><dd>no results</dd>"),
        "{html}"
    );
}

#[test]
fn a_leg_that_ran_again_after_inconclusive_counts_by_its_last_run() {
    let good = results();
    for (first, second, code) in [
        (inconclusive(good.clone()), good.clone(), 0),
        (inconclusive(good.clone()), inconclusive(good.clone()), 3),
        (inconclusive(good.clone()), failed(good.clone()), 1),
        (failed(good.clone()), good.clone(), 1),
    ] {
        let (root, out) = (
            tempfile::tempdir().expect("one"),
            tempfile::tempdir().expect("two"),
        );
        put_retried(root.path(), LEGS[0], &first, &second);
        let sent = summary_of_legs(root.path(), out.path(), &LEGS[..1], &[]);
        assert_eq!(sent.code, code, "{sent:?}");
        // Without an expected leg, nothing tells a retry from two runs.
        let sent = summary(root.path(), out.path());
        assert_eq!(sent.code, if code == 0 { 3 } else { code }, "{sent:?}");
    }
}

#[test]
fn no_results_of_any_expected_leg_leave_a_page_and_exit_2() {
    let out = tempfile::tempdir().expect("a directory");
    let sent = summary_of_legs(&out.path().join("no-download"), out.path(), &LEGS, &[]);
    assert_eq!(sent.code, 2, "{sent:?}");
    assert_eq!(sent.last_line().matches(": no results").count(), 5, "{sent:?}");
    assert!(out.path().join("summary.html").is_file());
}
