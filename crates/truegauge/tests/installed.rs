//! The installed binary, alone: no checkout, no cargo, no binaries but those on its command line.
#![cfg(unix)]

mod reports;
#[cfg(target_os = "linux")]
#[path = "harness/skip.rs"]
mod skip;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use reports::{Sent, bare, ours, run};
use tempfile::TempDir;

const TRUEGAUGE: &str = env!("CARGO_BIN_EXE_truegauge");

/// An empty current directory.
struct Elsewhere(TempDir);

impl Elsewhere {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, which may be executed.
    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
        path
    }

    /// Runs truegauge here, with nothing on PATH.
    fn truegauge(&self, arguments: &[&str]) -> Sent {
        self.truegauge_with(arguments, &[])
    }

    fn truegauge_with(&self, arguments: &[&str], env: &[(&str, &OsStr)]) -> Sent {
        let mut command = Command::new(TRUEGAUGE);
        command.args(arguments).current_dir(self.path());
        let nowhere = self.path().join("nowhere");
        run(
            &mut command,
            None,
            &[&[("PATH", nowhere.as_os_str())], env].concat(),
        )
    }

    /// What lies here, in order.
    fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).expect("listed");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn reports_are_judged_and_summarized_from_an_empty_directory() {
    let elsewhere = Elsewhere::new();
    elsewhere.put("report.zip", &ours(12.0).zip());
    let judged = elsewhere.truegauge(&["verify-report", "report.zip", "--out", "judged"]);
    assert_eq!(judged.code, 0, "{judged:?}");
    let summary = elsewhere.truegauge(&["summary", "judged"]);
    assert_eq!(summary.code, 0, "{summary:?}");
    assert!(
        elsewhere
            .path()
            .join("truegauge-runs/summary/summary.html")
            .is_file()
    );
    assert_eq!(elsewhere.entries(), ["judged", "report.zip", "truegauge-runs"]);
    // A directory that xtask names is the command's own.
    let named = elsewhere.truegauge(&["--runs-dir", "named", "summary", "judged"]);
    assert_eq!(named.code, 0, "{named:?}");
    assert!(elsewhere.path().join("named/summary.html").is_file());
}

#[test]
fn a_binary_that_is_needed_and_not_given_is_named_with_the_way_to_get_it() {
    let elsewhere = Elsewhere::new();
    let verify = elsewhere.truegauge(&["verify"]);
    assert_eq!(verify.code, 2, "{verify:?}");
    assert!(
        verify.stderr.contains(
            "--client-bin, --sampling-process, --leaking-process are missing: `cargo xtask verify`"
        ),
        "{verify:?}"
    );
    let client = elsewhere.put("client", b"#!/bin/sh\n");
    for command in ["verify", "soak"] {
        let ended = elsewhere.truegauge(&[command, "--client-bin", client.to_str().expect("UTF-8")]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(
            ended
                .stderr
                .starts_with("error: --sampling-process, --leaking-process are missing"),
            "{ended:?}"
        );
    }
    assert_eq!(
        elsewhere.entries(),
        ["client"],
        "nothing was run, and nothing is left"
    );
}

/// A bare name is the file of the current directory, whose hash is taken, and never another program on PATH.
#[test]
fn a_bare_name_is_never_looked_up_on_path() {
    let elsewhere = Elsewhere::new();
    std::fs::create_dir(elsewhere.path().join("programs")).expect("created");
    elsewhere.put("programs/client", b"#!/bin/sh\necho looked up on PATH\n");
    elsewhere.put("client", b"#!/bin/sh\nexit 7\n");
    let process = elsewhere.put("process", b"#!/bin/sh\nexit 8\n");
    let process = process.to_str().expect("UTF-8");
    let programs = elsewhere.path().join("programs");
    let verify = elsewhere.truegauge_with(
        &[
            "verify",
            "--client-bin",
            "client",
            "--sampling-process",
            process,
            "--leaking-process",
            process,
        ],
        &[("PATH", programs.as_os_str())],
    );
    assert_eq!(verify.code, 1, "{verify:?}");
    assert!(
        verify.stderr.contains("--version ended with exit status 7"),
        "{verify:?}"
    );
}

/// Two sessions whose reports differ in one judged row.
#[test]
fn a_failing_row_counts_in_whichever_session_it_is() {
    let elsewhere = Elsewhere::new();
    elsewhere.put("true.zip", &ours(12.0).zip());
    let mut few = bare();
    few["threads"] = serde_json::json!([few["threads"][0]]);
    elsewhere.put(
        "few.zip",
        &ours(9_000.0).metrics(few).metadata("pid", 77.into()).zip(),
    );
    std::fs::create_dir(elsewhere.path().join("own")).expect("created");
    elsewhere.put(
        "own/1.jq",
        b"([.reports[].metrics.threads | length] | min) as $n | {check: \"7.n\", passed: ($n >= 10), measured: $n, allowed: {min: 10}}",
    );
    for reports in [["true.zip", "few.zip"], ["few.zip", "true.zip"]] {
        let judged = elsewhere.truegauge(&[&["verify-report", "--assertions", "own"], &reports[..]].concat());
        assert_eq!(judged.code, 1, "{reports:?}: {judged:?}");
    }
}

#[test]
fn a_client_that_this_machine_cannot_execute_is_the_environments_fault() {
    let elsewhere = Elsewhere::new();
    // The head of an ELF file for another machine: execve(2) answers ENOEXEC.
    let mut foreign = vec![0; 64];
    foreign[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0");
    let client = elsewhere.put("client", &foreign);
    let process = elsewhere.put("process", b"#!/bin/sh\n");
    let [client, process] = [&client, &process].map(|path| path.to_str().expect("UTF-8"));
    let binaries = [
        "--client-bin",
        client,
        "--sampling-process",
        process,
        "--leaking-process",
        process,
    ];
    let verify = elsewhere.truegauge(&[&["verify"], &binaries[..]].concat());
    assert_eq!(verify.code, 2, "{verify:?}");
    assert!(
        verify.stderr.contains("cannot start") && verify.stderr.contains("client"),
        "{verify:?}"
    );
}

#[test]
fn own_assertions_that_are_faulty_are_refused_and_others_are_named_in_the_verdict() {
    let elsewhere = Elsewhere::new();
    elsewhere.put("report.zip", &ours(12.0).zip());
    std::fs::create_dir(elsewhere.path().join("own")).expect("created");
    elsewhere.put("own/1-own.jq", b"# fine\n.reports | lenght |\n");
    let refused = elsewhere.truegauge(&["verify-report", "report.zip", "--assertions", "own"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("own/1-own.jq:"), "{refused:?}");

    elsewhere.put(
        "own/1-own.jq",
        br#"{check: "1.own", passed: (.reports | length == 1), measured: (.reports | length), allowed: 1}"#,
    );
    let judged = elsewhere.truegauge(&["verify-report", "report.zip", "--assertions", "own"]);
    assert_eq!(judged.code, 0, "{judged:?}");
    assert!(judged.last_line().starts_with("PASS: 1 judged"), "{judged:?}");
    assert!(
        judged.last_line().ends_with(", judged by the assertions of own"),
        "{judged:?}"
    );

    elsewhere.put(
        "own/1-own.jq",
        br#"{check: "1.own", passed: true, measured: 0, allowed: {min: 1}}"#,
    );
    let refused = elsewhere.truegauge(&["verify-report", "report.zip", "--assertions", "own"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("1-own.jq") && refused.stderr.contains("outside of `allowed`"),
        "{refused:?}"
    );
}

/// A report whose virtual size is below its resident size.
fn failing() -> Vec<u8> {
    let mut metrics = bare();
    metrics["process"]["vm_size_kb"] = 1.into();
    ours(12.0).metrics(metrics).zip()
}

#[test]
fn a_verdict_survives_outputs_that_cannot_be_written() {
    let elsewhere = Elsewhere::new();
    elsewhere.put("true.zip", &ours(12.0).zip());
    elsewhere.put("false.zip", &failing());
    let directory = elsewhere.path().as_os_str();
    let env = [
        ("GITHUB_ACTIONS", OsStr::new("true")),
        ("GITHUB_STEP_SUMMARY", directory),
        ("GITHUB_OUTPUT", directory),
    ];
    for (report, verdict, code) in [
        ("false.zip", "FAIL: ", 1),
        ("true.zip", "ERROR: an output is lost: ", 2),
    ] {
        let judged = elsewhere.truegauge_with(&["verify-report", report], &env);
        assert_eq!(judged.code, code, "{judged:?}");
        assert!(judged.last_line().starts_with(verdict), "{judged:?}");
        assert_eq!(
            judged.stderr.matches("warning: cannot write").count(),
            2,
            "{judged:?}"
        );
    }
}

#[test]
fn a_line_end_in_a_name_begins_no_workflow_command() {
    let elsewhere = Elsewhere::new();
    let name = "x\n::error::forged.zip";
    elsewhere.put(name, &failing());
    let judged = elsewhere.truegauge_with(
        &["verify-report", name, "absent\n::error::forged"],
        &[("GITHUB_ACTIONS", OsStr::new("true"))],
    );
    assert_eq!(judged.code, 1, "{judged:?}");
    assert!(judged.last_line().contains("not read: absent"), "{judged:?}");
    let alone = elsewhere.truegauge_with(
        &["verify-report", name],
        &[("GITHUB_ACTIONS", OsStr::new("true"))],
    );
    assert_eq!(alone.code, 1, "{alone:?}");
    for text in [&judged.stdout, &judged.stderr, &alone.stdout, &alone.stderr] {
        let commands = text.lines().filter(|line| line.trim_start().starts_with("::"));
        for command in commands {
            assert!(!command.starts_with("::error::forged"), "{text}");
        }
    }
    assert!(
        alone.stdout.contains("::error "),
        "the failure is annotated: {alone:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_and_error_leave_the_exit_code() {
    let elsewhere = Elsewhere::new();
    elsewhere.put("true.zip", &ours(12.0).zip());
    elsewhere.put("false.zip", &failing());
    for (report, code) in [("false.zip", 1), ("true.zip", 0), ("absent.zip", 2)] {
        let mut shell = Command::new("/bin/sh");
        shell
            .args([
                "-c",
                "exec \"$0\" verify-report \"$1\" >/dev/full 2>&1",
                TRUEGAUGE,
                report,
            ])
            .current_dir(elsewhere.path());
        let judged = run(&mut shell, None, &[]);
        assert_eq!(judged.code, code, "{report}: {judged:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_proc_of_another_pid_namespace_is_refused_before_anything_starts() {
    let unshare = ["--user", "--map-root-user", "--pid", "--fork"];
    let allowed = Command::new("unshare").args(unshare).arg("true").output();
    if !allowed.is_ok_and(|allowed| allowed.status.success()) {
        return skip::skip("unshare, or the right to make namespaces,");
    }
    let elsewhere = Elsewhere::new();
    for command in ["verify", "soak"] {
        let mut unshared = Command::new("unshare");
        unshared
            .args(unshare)
            .args([TRUEGAUGE, command, "--client-bin", "client"])
            .current_dir(elsewhere.path());
        let refused = run(&mut unshared, None, &[]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(
            refused.stderr.contains("another pid namespace") && refused.stderr.contains("--mount-proc"),
            "{refused:?}"
        );
    }
}
