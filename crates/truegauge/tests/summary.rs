//! `truegauge summary` over the results of a CI matrix, as artifacts are downloaded.
#![cfg(unix)]

mod reports;

use std::path::Path;
use std::process::Command;

use reports::{Sent, ours, run, verify_report};
use serde_json::{Value, json};

/// Results of a real judgement.
fn results() -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().join("report.zip");
    std::fs::write(&report, ours(12.0).zip()).expect("written");
    let out = dir.path().join("out");
    let sent = verify_report([report.as_os_str(), "--out".as_ref(), out.as_os_str()], None);
    assert_eq!(sent.code, 0, "{sent:?}");
    sent.results(&out)
}

fn put(root: &Path, place: &str, results: &Value) {
    let dir = root.join(place);
    std::fs::create_dir_all(&dir).expect("created");
    std::fs::write(dir.join("results.json"), results.to_string()).expect("written");
}

fn summary(root: &Path, out: &Path) -> Sent {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegauge"));
    command.arg("summary").arg(root).arg("--out").arg(out);
    run(&mut command, None, &[])
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

    // One that cannot be read is no reason to say less of the others, and outweighs them.
    put(root.path(), "verify-later", &json!({"schema": 7}));
    let sent = summary(root.path(), out.path());
    assert_eq!(sent.code, 2, "{sent:?}");
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
        (&["fail", "error"], 2),
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
