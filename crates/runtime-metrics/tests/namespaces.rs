//! `sample` where `/proc` is not what it should be: in namespaces that unshare(1) makes, for which it takes root or a system
//! that allows user namespaces.

#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

/// What the namespaces run: prints a sample of a process of its own.
#[test]
#[ignore = "the other tests run it"]
fn inside() {
    let json = serde_json::to_value(runtime_metrics::sample(Duration::from_millis(150))).expect("JSON");
    assert_eq!(json["platform"], "linux");
    println!("\n{json}");
}

/// A user namespace around the other ones: needs no root where the system allows it.
const OWN_USERS: &str = "--map-root-user";

/// Whether this machine can make namespaces. Where it cannot, the test counts as skipped; in CI it fails.
fn can_unshare(test: &str) -> bool {
    let tried = Command::new("unshare")
        .args([OWN_USERS, "--mount", "--pid", "--fork"])
        .args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"])
        .output();
    let reason = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(_) => "unshare is missing".to_owned(),
    };
    assert!(std::env::var_os("CI").is_none(), "{test}: {reason}");
    // Not `eprintln`, which the test harness captures.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
    false
}

/// What a sample says in a shell that `unshare` opened with `flags`, after `preparation`.
fn sample_in(flags: &[&str], preparation: &str) -> serde_json::Value {
    let itself = std::env::current_exe().expect("this test");
    let script = format!("{preparation} exec \"$0\" --exact inside --ignored --nocapture");
    let run = Command::new("unshare")
        .arg(OWN_USERS)
        .args(flags)
        .args(["sh", "-c", &script])
        .arg(itself)
        .output()
        .expect("unshare(1)");
    let output = String::from_utf8_lossy(&run.stdout);
    let line = output.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("no sample: {run:?}"));
    serde_json::from_str(line).expect("JSON")
}

#[test]
fn the_proc_of_an_outer_pid_namespace_lists_threads_with_figures() {
    if !can_unshare("the_proc_of_an_outer_pid_namespace_lists_threads_with_figures") {
        return;
    }
    let json = sample_in(&["--pid", "--fork"], "");
    let threads = json["threads"].as_array().expect("threads");
    assert!(threads.len() >= 2, "the test's thread and the runner's: {json}");
    for thread in threads {
        assert!(thread["cpu_percent"].is_number(), "{json}");
    }
    assert_eq!(
        json["missing"].as_object().map(|missing| missing.len()),
        Some(1),
        "but for the uptime: {json}"
    );
}

#[test]
fn without_a_proc_there_is_a_reason() {
    if !can_unshare("without_a_proc_there_is_a_reason") {
        return;
    }
    let json = sample_in(&["--mount"], "mount -t tmpfs none /proc &&");
    let expected = serde_json::json!({
        "platform": "linux",
        "available": false,
        "reason": "/proc/thread-self: No such file or directory (os error 2); is /proc mounted?",
    });
    assert_eq!(json, expected);
}
