//! `truegauge verify-report` on what people send, and on what nobody should: real processes, generated files.
#![cfg(unix)]

mod harness;
mod reports;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::formats::assert_files;
use reports::{Desk, bare, check, json_zip, judge, judge_into, ours, run, ryll, verify_report, zipped};
use serde_json::{Value, json};

#[test]
fn every_kind_of_report_is_judged_by_what_it_can_answer() {
    let desk = Desk::new();
    let none = json!({"platform": "linux", "available": false, "reason": "filed without a sample"});
    for (name, members, code, said) in [
        ("ours.zip", ours(12.0), 0, "PASS: "),
        (
            "bugreport.zip",
            ryll(json!("Display"), 12),
            0,
            "bug report of ryll",
        ),
        (
            "auto.zip",
            ryll(json!("AutoSnapshot"), 12),
            0,
            "auto-snapshot of ryll",
        ),
        (
            "pedantic.zip",
            ryll(json!({"Pedantic": {"gap_key": "x"}}), 12),
            0,
            "pedantic report of ryll",
        ),
        (
            "disconnect.zip",
            ryll(json!({"Disconnect": {"channel": "main"}}), 12).metrics(none.clone()),
            3,
            "may be filed without figures, and it says why",
        ),
        (
            "notification.zip",
            ryll(json!({"Notification": {"notification_id": 1}}), 12).metrics(none.clone()),
            3,
            "may be filed without figures, and it says why",
        ),
        // Any other must have its figures.
        (
            "unavailable.zip",
            ryll(json!("Display"), 12).metrics(none),
            1,
            "nothing says that the figures are unavailable",
        ),
        (
            "silent.zip",
            ryll(json!({"Disconnect": {"channel": "main"}}), 12)
                .metrics(json!({"platform": "linux", "available": false})),
            1,
            "FAIL 2.report1.available",
        ),
    ] {
        let path = desk.put(name, &members.zip());
        let sent = judge(&[&path]);
        assert_eq!(sent.code, code, "{name}: {sent:?}");
        assert!(sent.stdout.contains(said), "{name}: wanted {said:?}: {sent:?}");
        assert!(
            sent.last_line().contains("not judgeable from a zip"),
            "{name}: {sent:?}"
        );
    }
}

#[test]
fn a_bare_file_and_standard_input_are_judged_alike() {
    let desk = Desk::new();
    let metrics = bare().to_string();
    let path = desk.put("runtime-metrics.json", metrics.as_bytes());
    let file = judge(&[&path]);
    let piped = verify_report(["-".as_ref()], Some(metrics.as_bytes()));
    assert_eq!((file.code, piped.code), (0, 0), "{file:?} {piped:?}");
    assert_eq!(file.last_line(), piped.last_line());
    let zip = verify_report(["-".as_ref()], Some(&ours(12.0).zip()));
    assert_eq!(zip.code, 0, "{zip:?}");
    let nothing = verify_report(["-".as_ref()], Some(b""));
    assert_eq!(nothing.code, 2, "{nothing:?}");
    assert!(
        nothing.stderr.contains("standard input: it is empty"),
        "{nothing:?}"
    );
}

#[test]
fn a_pipe_by_name_is_read_as_a_file_is() {
    let desk = Desk::new();
    let report = desk.put("report.zip", &ours(12.0).zip());
    let sent = run(
        Command::new("/bin/sh")
            .args([
                "-c",
                r#"cat "$1" | "$0" verify-report /dev/stdin"#,
                env!("CARGO_BIN_EXE_truegauge"),
            ])
            .arg(report),
        None,
        &[],
    );
    assert_eq!(sent.code, 0, "{sent:?}");
}

/// A true report stays judged, and so does a false one, whatever lies beside them and in whatever they came.
#[test]
fn a_file_that_cannot_be_read_costs_the_others_nothing() {
    let cut_off = ours(12.0).zip()[..300].to_vec();
    let no_metrics = json_zip(&[("metadata.json", json!({})), ("session.json", json!({}))]);
    for (name, bad, alone, with_good) in [
        ("cut off", cut_off, 2, 2),
        ("without its metrics", no_metrics, 1, 1),
        ("another file", b"notes".to_vec(), 2, 2),
    ] {
        for (good, code) in [(ours(12.0), with_good), (ours(12.0).lying(), 1)] {
            let desk = Desk::new();
            let (good, bad) = (good.zip(), &bad);
            let arguments = [desk.put("1 bad.zip", bad), desk.put("2 good.zip", &good)];
            let outer = zipped(&[("1 bad.zip", bad), ("2 good.zip", &good)]);
            let out = tempfile::tempdir().expect("a directory");
            for paths in [
                arguments.to_vec(),
                arguments.iter().rev().cloned().collect(),
                vec![arguments[0].parent().expect("a directory").to_owned()],
                vec![desk.put("outer", &outer)],
            ] {
                let sent = judge(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>());
                assert_eq!(sent.code, code, "{name} {paths:?}: {sent:?}");
                assert!(
                    sent.stdout.contains("5.present"),
                    "{name} {paths:?}: a table: {sent:?}"
                );
                assert!(
                    sent.last_line().contains("not read: ") && sent.last_line().contains("bad.zip"),
                    "{name} {paths:?}: {sent:?}"
                );
            }
            let sent = judge_into(out.path(), &desk.put("outer.zip", &outer));
            let results = sent.results(out.path());
            assert_eq!(
                check(&results, "unread.1")["passed"],
                if alone == 1 { json!(false) } else { json!(null) }
            );
        }
        let desk = Desk::new();
        assert_eq!(judge(&[&desk.put("1 bad.zip", &bad)]).code, alone, "{name}");
    }
}

/// What nobody can read must not use up what others need, however much of it there is, and however large.
#[test]
fn files_that_cannot_be_read_leave_the_failure_of_another() {
    let desk = Desk::new();
    let lying = desk.put("lying.zip", &ours(12.0).lying().zip());
    let many = json_zip(&[(
        "runtime-metrics.json",
        json!({"threads": vec![json!({}); 100_000]}),
    )]);
    let large = desk.put("large.zip", &many);
    let sent = judge(&[&large, &lying]);
    assert_eq!(sent.code, 1, "{sent:?}");
    let pictures: Vec<PathBuf> = (0..60)
        .map(|n| desk.put(&format!("{n}.png"), b"\x89PNG\r\n\x1a\n"))
        .collect();
    let mut paths: Vec<&Path> = pictures.iter().map(PathBuf::as_path).collect();
    paths.push(&lying);
    let sent = judge(&paths);
    assert_eq!(sent.code, 1, "{sent:?}");
    assert!(sent.last_line().contains("60 files not read"), "{sent:?}");
}

/// A summary of many runs must not lose a report that is none.
#[test]
fn a_report_that_is_none_leaves_results_that_fail() {
    let desk = Desk::new();
    let none = json_zip(&[("metadata.json", json!({})), ("session.json", json!({}))]);
    for (content, code, verdict) in [(none, 1, "fail"), (b"PK\x03\x04".to_vec(), 2, "error")] {
        let out = tempfile::tempdir().expect("a directory");
        let sent = judge_into(out.path(), &desk.put("report.zip", &content));
        assert_eq!(sent.code, code, "{sent:?}");
        assert!(sent.stderr.starts_with("error: "), "{sent:?}");
        let results = sent.results(out.path());
        assert_eq!(results["verdict"], verdict, "{results}");
        assert_files(&sent.dir(out.path()));
        let junit = std::fs::read_to_string(sent.dir(out.path()).join("junit.xml")).expect("read");
        assert!(junit.contains("<failure") || junit.contains("<error"), "{junit}");
    }
}

#[test]
fn reports_are_found_beside_others_wherever_they_lie() {
    let (good, lying) = (ours(12.0), ours(42.0).uptime(44.1).lying());
    let none = json_zip(&[("metadata.json", json!({})), ("session.json", json!({}))]);
    let unzipped = |root: &Path| good.unzipped(&root.join("good"));
    type Make<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Make<'_>, i32); 5] = [
        (
            "a zip beside an unzipped report",
            &|root| {
                good.unzipped(root);
                std::fs::write(root.join("lying.zip"), lying.zip()).expect("written");
            },
            1,
        ),
        (
            "a zip in a subdirectory",
            &|root| {
                unzipped(root);
                std::fs::create_dir(root.join("more")).expect("created");
                std::fs::write(root.join("more/lying.zip"), lying.zip()).expect("written");
            },
            1,
        ),
        (
            "a subdirectory without metrics",
            &|root| {
                unzipped(root);
                lying.unzipped(&root.join("none"));
                std::fs::remove_file(root.join("none/runtime-metrics.json")).expect("removed");
            },
            1,
        ),
        (
            "a link to a zip",
            &|root| {
                unzipped(root);
                std::os::unix::fs::symlink("/dev/null", root.join("lying.zip")).expect("linked");
            },
            2,
        ),
        (
            "metrics that are a link",
            &|root| {
                good.unzipped(root);
                let metrics = root.join("runtime-metrics.json");
                std::fs::rename(&metrics, root.join("elsewhere")).expect("moved");
                std::os::unix::fs::symlink("elsewhere", metrics).expect("linked");
            },
            2,
        ),
    ];
    for (name, make, code) in cases {
        let root = tempfile::tempdir().expect("a directory");
        make(root.path());
        let sent = judge(&[root.path()]);
        assert_eq!(sent.code, code, "{name}: {sent:?}");
    }
    for (name, zip, code) in [
        (
            "a zip beside a report's files in a zip",
            zipped(&[
                ("runtime-metrics.json", bare().to_string().as_bytes()),
                ("lying.zip", &lying.zip()),
            ]),
            1,
        ),
        (
            "a folder without metrics in a zip",
            zipped(&[("a.zip", &good.zip()), ("b.zip", &none)]),
            1,
        ),
    ] {
        let desk = Desk::new();
        let sent = judge(&[&desk.put("outer.zip", &zip)]);
        assert_eq!(sent.code, code, "{name}: {sent:?}");
    }
}

#[test]
fn the_same_report_with_a_file_more_or_less_is_judged_once() {
    let desk = Desk::new();
    let report = ours(12.0);
    let mut files = report.files().to_vec();
    files.push(("notes.json", json!({"seen": "at noon"})));
    files.retain(|(name, _)| *name != "notifications.json");
    let (one, other) = (
        desk.put("a.zip", &report.zip()),
        desk.put("b.zip", &json_zip(&files)),
    );
    let sent = judge(&[&one, &other]);
    assert_eq!(sent.code, 0, "{sent:?}");
    assert!(sent.stdout.contains("report1 again"), "{sent:?}");
}

#[test]
fn two_reports_of_one_session_are_compared_by_their_stamps() {
    let desk = Desk::new();
    let first = desk.put("first.zip", &ryll(json!("AutoSnapshot"), 12).zip());
    for (name, second, code, outcome) in [
        ("later", ryll(json!("AutoSnapshot"), 42), 0, "passed"),
        // Stamps are whole seconds, and uptime is read a window later.
        (
            "later by stamps",
            ryll(json!("AutoSnapshot"), 42).uptime(44.9),
            0,
            "passed",
        ),
        (
            "frozen",
            ryll(json!("AutoSnapshot"), 42).uptime(12.3),
            1,
            "failed",
        ),
        (
            "running away",
            ryll(json!("AutoSnapshot"), 42).uptime(52.0),
            1,
            "failed",
        ),
    ] {
        let second = desk.put("second.zip", &second.zip());
        // In whatever order they are named.
        let out = tempfile::tempdir().expect("a directory");
        let arguments = [
            second.as_os_str(),
            first.as_os_str(),
            "--out".as_ref(),
            out.path().as_os_str(),
        ];
        let sent = verify_report(arguments, None);
        assert_eq!(sent.code, code, "{name}: {sent:?}");
        let results = sent.results(out.path());
        let advance = reports::check(&results, "5.report1.advance");
        assert_eq!(advance["passed"], json!(outcome == "passed"), "{name}: {advance}");
    }
}

#[test]
fn reports_of_two_sessions_are_not_compared() {
    let desk = Desk::new();
    let first = desk.put("first.zip", &ryll(json!("AutoSnapshot"), 12).zip());
    let another = ryll(json!("AutoSnapshot"), 42).metadata("target", json!("10.0.0.9:5900"));
    let another = desk.put("another.zip", &another.uptime(90.0).zip());
    let sent = judge(&[&first, &another]);
    assert_eq!(sent.code, 0, "{sent:?}");
    assert!(!sent.stdout.contains("5.advance"), "{sent:?}");
}

#[test]
fn the_files_of_a_report_are_what_their_schemas_say() {
    let desk = Desk::new();
    let report = desk.put("ours.zip", &ours(12.0).zip());
    let hostile = desk.put("hostile.zip", &reports::hostile_names().zip());
    for (path, code) in [(&report, 0), (&hostile, 1)] {
        let out = tempfile::tempdir().expect("a directory");
        let sent = judge_into(out.path(), path);
        assert_eq!(sent.code, code, "{sent:?}");
        assert!(
            !sent.stdout.contains('\u{1b}'),
            "no escape of a client's reaches the terminal: {sent:?}"
        );
        assert_files(&sent.dir(out.path()));
    }
}

#[test]
fn a_results_file_that_is_none_is_refused_by_the_schema() {
    let desk = Desk::new();
    let report = desk.put("ours.zip", &ours(12.0).zip());
    let out = tempfile::tempdir().expect("a directory");
    let sent = judge_into(out.path(), &report);
    let good = sent.results(out.path());
    type Lie = (&'static str, fn(&mut Value));
    let lies: [Lie; 6] = [
        ("another version", |r| r["schema"] = json!(2)),
        ("another verdict", |r| r["verdict"] = json!("PASS")),
        ("a skipped check without a reason", |r| {
            r["checks"][0]["passed"] = Value::Null;
        }),
        ("a passed check with a reason", |r| {
            r["checks"][0]["reason"] = json!("x")
        }),
        ("an unknown field", |r| r["run"]["pid"] = json!(5)),
        ("a time that is none", |r| {
            r["run"]["elapsed_secs"] = json!("soon")
        }),
    ];
    for (name, lie) in lies {
        let mut results = good.clone();
        lie(&mut results);
        let path = desk.put("results.json", results.to_string().as_bytes());
        let judged = harness::formats::validate_results(&path);
        assert!(
            judged.as_ref().is_none_or(|(passed, _)| !passed),
            "{name}: {judged:?}"
        );
    }
}

#[test]
fn a_junit_file_that_is_none_is_refused_by_the_schema() {
    let desk = Desk::new();
    let report = desk.put("ours.zip", &ours(12.0).zip());
    let out = tempfile::tempdir().expect("a directory");
    let sent = judge_into(out.path(), &report);
    let good = std::fs::read_to_string(sent.dir(out.path()).join("junit.xml")).expect("read");
    for (from, to) in [
        (" classname=\"test 1\"", ""),
        ("1.report1.variant", "1.report1.platform"),
        ("<skipped message=", "<skipped why="),
        ("</testsuites>", ""),
        ("tests=\"", "tests=\"some "),
    ] {
        let broken = good.replacen(from, to, 1);
        assert_ne!(broken, good, "{from}");
        let judged = harness::formats::validate_junit(&desk.put("junit.xml", broken.as_bytes()));
        assert!(
            judged.as_ref().is_none_or(|(passed, _)| !passed),
            "{from}: {judged:?}"
        );
    }
}

#[test]
fn github_is_told_in_its_own_words() {
    let desk = Desk::new();
    let report = desk.put("wrong.zip", &reports::hostile_names().zip());
    let (summary, output) = (desk.put("summary", b"before\n"), desk.put("output", b""));
    let sent = reports::verify_report_with(
        [report.as_os_str()],
        None,
        &[
            ("GITHUB_ACTIONS", "true".as_ref()),
            ("GITHUB_STEP_SUMMARY", summary.as_os_str()),
            ("GITHUB_OUTPUT", output.as_os_str()),
        ],
    );
    assert_eq!(sent.code, 1, "{sent:?}");
    let commands: Vec<&str> = sent
        .stdout
        .lines()
        .filter(|line| line.starts_with("::"))
        .collect();
    assert!(
        (1..=9).contains(&commands.len()) && commands.iter().all(|line| line.starts_with("::error title=")),
        "{commands:?}"
    );
    let summary = std::fs::read_to_string(summary).expect("read");
    assert!(
        summary.starts_with("before\n") && summary.contains("## FAIL: "),
        "{summary}"
    );
    assert_eq!(std::fs::read_to_string(output).expect("read"), "verdict=fail\n");
}
