//! `truegauge verify-report`: who wrote a file, what a report of its kind can be asked, and who is blamed.
#![cfg(unix)]

mod reports;

use std::path::PathBuf;

use reports::{Desk, bare, json_zip, judge, judge_into, ours};
use serde_json::{Value, json};

#[test]
fn reports_of_unknown_clients_are_not_asked_for_what_they_do_not_carry() {
    let desk = Desk::new();
    let metrics = ("runtime-metrics.json", bare());
    for (name, members, code, said) in [
        ("metrics alone", vec![metrics.clone()], 0, "PASS: "),
        (
            "metadata of its own",
            vec![metrics.clone(), ("metadata.json", json!({"app": "other"}))],
            0,
            "the report does not say whether its session is up",
        ),
        (
            "a session without surfaces",
            vec![metrics.clone(), ("session.json", json!({"connected": true}))],
            0,
            "the report does not list surfaces",
        ),
        // The rest is asked.
        (
            "no surface in its list",
            vec![
                metrics.clone(),
                ("session.json", json!({"connected": true, "surfaces": []})),
            ],
            1,
            "FAIL 6.session.report1.surface",
        ),
        (
            "a word for a session",
            vec![metrics.clone(), ("session.json", json!({"connected": "yes"}))],
            1,
            "FAIL 6.session.report1.connected",
        ),
        (
            "no worker",
            vec![("runtime-metrics.json", {
                let mut metrics = bare();
                metrics["threads"] = json!([{"tid": 1, "name": "main", "cpu_percent": 0.1}]);
                metrics
            })],
            1,
            "FAIL 6.report1.worker",
        ),
    ] {
        let path = desk.put("unknown.zip", &json_zip(&members));
        let sent = judge(&[&path]);
        assert_eq!(sent.code, code, "{name}: {sent:?}");
        assert!(sent.stdout.contains("of an unknown client"), "{name}: {sent:?}");
        assert!(sent.stdout.contains(said), "{name}: wanted {said:?}: {sent:?}");
    }
    // Ours tells of its session, always.
    let without: Vec<_> = ours(12.0)
        .files()
        .into_iter()
        .filter(|(name, _)| *name != "session.json")
        .collect();
    let sent = judge(&[&desk.put("ours.zip", &json_zip(&without))]);
    assert_eq!(sent.code, 1, "{sent:?}");
    assert!(
        sent.stdout.contains("FAIL 6.session.report1.connected"),
        "{sent:?}"
    );
}

#[test]
fn our_reports_of_every_type_are_recognised_and_may_tell_of_a_lost_session() {
    let desk = Desk::new();
    for (kind, origin, connected, code) in [
        ("manual", "bug report of headless-client", true, 0),
        ("signal", "bug report of headless-client", true, 0),
        // Filed just after the loss.
        ("manual", "bug report of headless-client", false, 0),
        ("pedantic", "pedantic report of headless-client", true, 0),
        ("pedantic", "pedantic report of headless-client", false, 0),
        ("auto-snapshot", "auto-snapshot of headless-client", true, 0),
        ("auto-snapshot", "auto-snapshot of headless-client", false, 0),
        ("disconnect", "disconnect report of headless-client", false, 0),
        // Its type says that the session is lost.
        ("disconnect", "disconnect report of headless-client", true, 1),
    ] {
        let mut members = ours(12.0)
            .metadata("report_type", json!(kind))
            .session("connected", json!(connected));
        if !connected {
            members = members.session("surfaces", json!([]));
        }
        let sent = judge(&[&desk.put("ours.zip", &members.zip())]);
        assert_eq!(sent.code, code, "{kind} {connected}: {sent:?}");
        assert!(sent.stdout.contains(origin), "{kind}: {sent:?}");
    }
    let silent = ours(12.0).session("connected", Value::Null);
    let sent = judge(&[&desk.put("ours.zip", &silent.zip())]);
    assert_eq!(sent.code, 1, "{sent:?}");
}

#[test]
fn a_report_that_was_sent_twice_is_judged_once() {
    let desk = Desk::new();
    let zip = ours(12.0).zip();
    let first = desk.put("idle.zip", &zip);
    let again = desk.put("idle (1).zip", &zip);
    let zipped_again = desk.put("mail.zip", &reports::zipped(&[("idle.zip", &zip)]));
    let metrics = desk.put("runtime-metrics.json", bare().to_string().as_bytes());
    let single = judge(&[&first]);
    for others in [
        [&first, &again],
        [&first, &zipped_again],
        [&first, &metrics],
        [&metrics, &first],
    ] {
        let sent = judge(&others.map(PathBuf::as_path));
        assert_eq!((sent.code, sent.last_line()), (0, single.last_line()), "{sent:?}");
        assert!(sent.stdout.contains("report1 again: "), "{sent:?}");
        assert!(
            sent.stdout.contains("report1: ") && !sent.stdout.contains("report2"),
            "{sent:?}"
        );
    }
    // One figure more makes it another report.
    let other = desk.put("other.zip", &ours(12.0).uptime(14.2).zip());
    let sent = judge(&[&first, &other]);
    assert!(
        sent.stdout.contains("report2: ") && !sent.stdout.contains(" again: "),
        "{sent:?}"
    );
}

#[test]
fn files_of_truegauge_itself_are_named() {
    let desk = Desk::new();
    let report = desk.put("ours.zip", &ours(12.0).zip());
    let out = tempfile::tempdir().expect("a directory");
    let sent = judge_into(out.path(), &report);
    let results = sent.dir(out.path()).join("results.json");
    let evidence = json!({"schema": 1, "environment": {}, "thresholds": {}, "reports": [{"label": "idle"}]});
    let evidence = desk.put("evidence.json", evidence.to_string().as_bytes());
    for (path, said) in [
        (results, "this is truegauge's own results.json"),
        (evidence, "this is truegauge's own evidence.json"),
    ] {
        let sent = judge(&[&path]);
        assert_eq!(sent.code, 2, "{sent:?}");
        assert!(sent.stderr.contains(said), "{sent:?}");
    }
}

#[test]
fn the_client_is_blamed_for_what_it_wrote_and_the_file_for_the_rest() {
    let desk = Desk::new();
    let zip = |metrics: &str, session: &str| {
        reports::zipped(&[
            ("runtime-metrics.json", metrics.as_bytes()),
            ("session.json", session.as_bytes()),
            ("metadata.json", b"{}"),
        ])
    };
    let metrics = bare().to_string();
    let cut_off = &metrics[..metrics.len() / 2];
    let not_a_number = metrics.replace("44876", "NaN");
    for (name, content, code) in [
        (
            "a report of no figures",
            json_zip(&[("metadata.json", json!({})), ("session.json", json!({}))]),
            1,
        ),
        (
            "metrics that end in the middle of a whole zip",
            zip(cut_off, "{}"),
            1,
        ),
        ("metrics of two documents", zip(&metrics.repeat(2), "{}"), 1),
        ("NaN", zip(&not_a_number, "{}"), 1),
        ("NaN by itself", not_a_number.clone().into_bytes(), 1),
        ("a session that is not JSON", zip(&metrics, "connected"), 1),
        ("metrics that were cut off", cut_off.as_bytes().to_vec(), 2),
        (
            "a footer behind metrics",
            format!("{metrics}\n-- \nSent").into_bytes(),
            2,
        ),
        ("a zip that was cut off", ours(12.0).zip()[..900].to_vec(), 2),
        ("another zip", json_zip(&[("package.json", json!({}))]), 2),
        ("a download page in the zip", zip("<html>", "{}"), 2),
        (
            "a file in a zip in a zip",
            reports::zipped(&[("x.zip", b"PK\x05\x06")]),
            2,
        ),
        (
            "a client's error in a zip in a zip",
            reports::zipped(&[("x.zip", &zip("nope", "{}"))]),
            1,
        ),
        ("not metrics", b"{\"name\": \"x\"}".to_vec(), 2),
        (
            "a key twice",
            zip("{\"platform\": \"linux\", \"platform\": \"linux\"}", "{}"),
            2,
        ),
    ] {
        let sent = judge(&[&desk.put("sent", &content)]);
        assert_eq!(sent.code, code, "{name}: {sent:?}");
    }
}
