//! `sample` where `/proc` is not what it should be: in namespaces that unshare(1) makes, which asks for rights that
//! not everybody has. Run them with `cargo test -p runtime-metrics --test namespaces -- --ignored`, as root.

#![cfg(target_os = "linux")]

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

/// What a sample says in a shell that `unshare` opened with `flags`, after `preparation`.
fn sample_in(flags: &[&str], preparation: &str) -> serde_json::Value {
    let itself = std::env::current_exe().expect("this test");
    let script = format!("{preparation} exec \"$0\" --exact inside --ignored --nocapture");
    let run = Command::new("unshare")
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
#[ignore = "needs the right to unshare namespaces"]
fn the_proc_of_an_outer_pid_namespace_lists_threads_with_figures() {
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
#[ignore = "needs the right to unshare namespaces"]
fn without_a_proc_there_is_a_reason() {
    let json = sample_in(&["--mount"], "mount -t tmpfs none /proc &&");
    let expected = serde_json::json!({
        "platform": "linux",
        "available": false,
        "reason": "/proc/thread-self: No such file or directory (os error 2); is /proc mounted?",
    });
    assert_eq!(json, expected);
}
