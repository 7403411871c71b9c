//! `truegauge verify` on machines on which no client can be right: the last line names the machine's fault, not the client's.
#![cfg(target_os = "linux")]

mod harness;
mod reports;

use std::process::Command;

use harness::{TRUEGAUGE, skip};
use reports::{Sent, run};

/// A command in namespaces of its own.
const UNSHARED: [&str; 2] = ["--user", "--map-root-user"];

/// Runs `verify` behind a shell that first does what makes the machine faulty; its program and arguments go before. Nothing here
/// comes as far as starting a client, so any program does for one.
fn verify_after(wrapper: &[&str], script: &str) -> Sent {
    let dir = tempfile::tempdir().expect("a directory");
    let script = format!("{script} && exec \"$0\" verify --out \"$OUT\" \"$@\"");
    let words = [wrapper, &["/bin/sh", "-ec", &script, TRUEGAUGE]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("OUT", dir.path());
    for option in ["--client-bin", "--sampling-process", "--leaking-process"] {
        command.args([option, TRUEGAUGE]);
    }
    run(&mut command, None, &[])
}

fn assert_blamed(refused: &Sent, cause: &str) {
    assert_eq!(refused.code, 2, "{refused:?}");
    let last = refused.stderr.trim_end().lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: ") && last.contains(cause),
        "wanted {cause:?}: {refused:?}"
    );
}

#[test]
fn limits_that_a_client_would_inherit_are_named() {
    assert_blamed(
        &verify_after(&[], "ulimit -n 64"),
        "the descriptor limit (ulimit -n 64)",
    );
    assert_blamed(
        &verify_after(&[], "ulimit -f 8"),
        "the file size limit (ulimit -f)",
    );
}

#[test]
fn run_directory_that_is_not_utf8_is_named() {
    let refused = verify_after(&[], r#"OUT="$OUT/$(printf 'Stra\337e')""#);
    assert_blamed(&refused, "is not UTF-8");
}

fn can_unshare(flag: &str) -> bool {
    let tried = Command::new("unshare")
        .args(UNSHARED)
        .args([flag, "true"])
        .output();
    let can = tried.is_ok_and(|tried| tried.status.success());
    if !can {
        skip::skip("unshare, or the right to make namespaces,");
    }
    can
}

#[test]
fn full_disk_is_named() {
    if can_unshare("--mount") {
        let wrapper = [
            &["unshare"],
            &UNSHARED[..],
            &["--mount", "--propagation", "private"],
        ]
        .concat();
        let refused = verify_after(&wrapper, "mount -t tmpfs -o size=500k tmpfs \"$OUT\"");
        assert_blamed(&refused, "no space left on device");
    }
}

#[test]
fn loopback_interface_that_is_down_is_named() {
    if can_unshare("--net") {
        let wrapper = [&["unshare"], &UNSHARED[..], &["--net"]].concat();
        assert_blamed(&verify_after(&wrapper, "true"), "127.0.0.1 cannot be reached");
    }
}
