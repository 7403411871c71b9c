//! What a command prints and writes, where the streams, the files and the names are not as they should be.
#![cfg(unix)]

mod harness;
mod reports;

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::TRUEGAUGE;
use reports::{Sent, bare, ours, run, verify_report, verify_report_with};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::json;

/// A report that is right, or one that fails.
fn put(dir: &Path, name: &str, pid: u32, is_right: bool) -> PathBuf {
    let mut metrics = bare();
    if !is_right {
        metrics["process"]["rss_kb"] = json!(0);
    }
    let path = dir.join(name);
    std::fs::write(
        &path,
        ours(12.0).metadata("pid", json!(pid)).metrics(metrics).zip(),
    )
    .expect("written");
    path
}

#[test]
fn nonblocking_streams_with_a_slow_reader_leave_every_byte_and_the_exit_code() {
    let dir = tempfile::tempdir().expect("a directory");
    for (is_right, code) in [(true, 0), (false, 1)] {
        // More than a pipe holds is to come. Reports of sessions of their own are not compared with each other.
        let reports = (0..40).map(|number| put(dir.path(), &format!("{number}.zip"), number, is_right));
        let reports: Vec<PathBuf> = reports.collect();
        let expected = verify_report(reports.iter().map(|path| path.as_os_str()), None);
        assert_eq!(expected.code, code, "{}", expected.last_line());
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let flags = fcntl_getfl(&writer).expect("flags");
        fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("set");
        let mut child = Command::new(TRUEGAUGE)
            .arg("verify-report")
            .args(reports)
            .env_remove("GITHUB_ACTIONS")
            .stdin(std::process::Stdio::null())
            .stderr(writer.try_clone().expect("cloned"))
            .stdout(writer)
            .spawn()
            .expect("it starts");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        assert_eq!(child.wait().expect("waited").code(), Some(code));
        assert!(
            text == expected.stdout,
            "{} of {} bytes",
            text.len(),
            expected.stdout.len()
        );
    }
}

#[test]
fn github_file_that_is_a_named_pipe_is_a_warning_and_the_verdict_stands() {
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    for variable in ["GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"] {
        let judge = |is_right| {
            let report = put(dir.path(), "x.zip", 1, is_right);
            let none = |name| (name, OsStr::new(""));
            let env = [
                none("GITHUB_STEP_SUMMARY"),
                none("GITHUB_OUTPUT"),
                ("GITHUB_ACTIONS", OsStr::new("true")),
                (variable, pipe.as_os_str()),
            ];
            verify_report_with([report.as_os_str()], None, &env)
        };
        let right = judge(true);
        assert_eq!(right.code, 2, "{right:?}");
        assert!(right.stderr.contains("warning: cannot write"), "{right:?}");
        assert!(
            right
                .last_line()
                .starts_with("ERROR: an output is lost: cannot write"),
            "{right:?}"
        );
        assert!(right.last_line().contains("; PASS: "), "{right:?}");
        let wrong = judge(false);
        assert_eq!(wrong.code, 1, "{wrong:?}");
        assert!(wrong.last_line().starts_with("FAIL: "), "{wrong:?}");
    }
}

#[test]
fn verdict_precedes_an_output_directory_that_cannot_be_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    for (is_right, code, word) in [(true, 2, "ERROR: an output is lost: "), (false, 1, "FAIL: ")] {
        let report = put(dir.path(), "x.zip", 1, is_right);
        let judged = verify_report([OsStr::new("--out"), file.as_os_str(), report.as_os_str()], None);
        assert_eq!(judged.code, code, "{judged:?}");
        assert!(judged.last_line().starts_with(word), "{judged:?}");
        assert!(
            judged.stdout.contains("what is claimed"),
            "the table is there: {judged:?}"
        );
        assert!(judged.stderr.contains("warning: cannot create"), "{judged:?}");
    }
    let out = dir.path().join("out");
    let report = put(dir.path(), "x.zip", 1, false);
    verify_report([OsStr::new("--out"), out.as_os_str(), report.as_os_str()], None);
    let mut summary = Command::new(TRUEGAUGE);
    let summed = run(
        summary.arg("summary").arg(&out).arg("--out").arg(&file),
        None,
        &[],
    );
    assert_eq!(summed.code, 1, "{summed:?}");
    assert!(summed.last_line().starts_with("FAIL: "), "{summed:?}");
    assert!(summed.stderr.contains("warning: cannot create"), "{summed:?}");
}

/// Whatever a run prints and writes.
fn all_text(sent: &Sent, dir: Option<&Path>) -> Vec<(String, String)> {
    let mut texts = vec![
        ("standard output".to_owned(), sent.stdout.clone()),
        ("standard error".to_owned(), sent.stderr.clone()),
    ];
    for entry in dir
        .into_iter()
        .flat_map(|dir| std::fs::read_dir(dir).expect("listed"))
    {
        let path = entry.expect("listed").path();
        texts.push((
            path.display().to_string(),
            std::fs::read_to_string(&path).expect("text"),
        ));
    }
    texts
}

#[test]
fn names_of_files_reach_no_output_as_commands() {
    const NAME: &str = "a\n::error::forged\u{1b}[2J\u{202e}.zip";
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out");
    for actions in ["false", "true"] {
        let env = [("GITHUB_ACTIONS", OsStr::new(actions))];
        let report = put(dir.path(), NAME, 1, false);
        let judged = verify_report_with(
            [OsStr::new("--out"), out.as_os_str(), report.as_os_str()],
            None,
            &env,
        );
        assert_eq!(judged.code, 1, "{judged:?}");
        assert!(
            judged.stdout.contains(r"a\n::error::forged\u{1b}[2J\u{202e}.zip"),
            "{judged:?}"
        );
        let run = judged.dir(&out);
        let mut texts = all_text(&judged, Some(&run));
        std::fs::remove_dir_all(&out).expect("removed");
        let absent = dir.path().join(format!("no {NAME}"));
        std::fs::write(&report, "no report").expect("written");
        for path in [&absent, &report] {
            let refused = verify_report_with([path.as_os_str()], None, &env);
            assert_eq!(refused.code, 2, "{refused:?}");
            texts.extend(all_text(&refused, None));
        }
        for (place, text) in texts {
            let raw = text
                .lines()
                .any(|line| line.trim_start().starts_with("::error::forged"));
            // JSON is for programs, and keeps what no line and no escape begins.
            let reversed = text.contains('\u{202e}') && !place.ends_with(".json");
            assert!(!raw && !reversed && !text.contains('\u{1b}'), "{place}:\n{text}");
        }
    }
}
