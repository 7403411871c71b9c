//! The installed binary, alone: no checkout, no cargo, no binaries but those on its command line.
#![cfg(unix)]

mod reports;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use reports::{Sent, ours, run};
use tempfile::TempDir;

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
        let mut command = Command::new(env!("CARGO_BIN_EXE_truegauge"));
        command.args(arguments).current_dir(self.path());
        let nowhere = self.path().join("nowhere");
        run(&mut command, None, &[("PATH", nowhere.as_os_str())])
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
}

#[test]
fn a_binary_that_is_needed_and_not_given_is_named_with_the_way_to_get_it() {
    let elsewhere = Elsewhere::new();
    let verify = elsewhere.truegauge(&["verify"]);
    assert_eq!(verify.code, 2, "{verify:?}");
    assert!(
        verify
            .stderr
            .contains("the package headless-client of a checkout")
            && verify.stderr.contains("--client-bin"),
        "{verify:?}"
    );
    let client = elsewhere.put("client", b"#!/bin/sh\n");
    for command in ["verify", "soak"] {
        let ended = elsewhere.truegauge(&[command, "--client-bin", client.to_str().expect("UTF-8")]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("--sampling-process"), "{ended:?}");
    }
    assert_eq!(
        elsewhere.entries(),
        ["client"],
        "nothing was run, and nothing is left"
    );
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
fn assertions_that_do_not_compile_are_named_with_file_line_and_reason() {
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
}
