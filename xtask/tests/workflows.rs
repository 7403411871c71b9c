//! The workflows' policy can fail: what it must refuse, it refuses.

use std::path::Path;
use std::process::{Command, Output};

const GOOD: &str = "\
on: push
permissions: {}
concurrency: {group: ci}
jobs:
  linux:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
      - run: cargo xtask ci
      - run: cargo install cargo-fuzz --version 0.13.2 --locked
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
}

/// `check-jsonschema`, from our own environment or from PATH; `None` where there is none, which CI does not accept.
fn judge(workflow: &str) -> Option<Output> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("workflow.yml");
    std::fs::write(&file, workflow).expect("written");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let ours = target.join("tools/python/bin/check-jsonschema");
    let program = if ours.exists() {
        ours
    } else {
        "check-jsonschema".into()
    };
    let mut command = Command::new(program);
    command
        .arg("--schemafile")
        .arg(root().join(".github/workflow-policy.json"))
        .arg(&file);
    let output = command.output().ok();
    assert!(
        output.is_some() || std::env::var_os("CI").is_none(),
        "check-jsonschema is not there: cargo xtask setup"
    );
    output
}

#[test]
fn a_workflow_that_breaks_the_policy_is_refused() {
    let Some(good) = judge(GOOD) else {
        eprintln!("not judged: check-jsonschema is not there; `cargo xtask setup` installs it");
        return;
    };
    assert!(good.status.success(), "{good:?}");
    for (from, to, said) in [
        ("    timeout-minutes: 5\n", "", "timeout-minutes"),
        ("timeout-minutes: 5", "timeout-minutes: 400", "maximum"),
        (
            "@3d3c42e5aac5ba805825da76410c181273ba90b1",
            "@v7",
            "does not match",
        ),
        ("permissions: {}", "permissions: write-all", "was expected"),
        ("concurrency: {group: ci}\n", "", "concurrency"),
        ("cargo xtask ci", "curl example.org | sh", "does not match"),
        ("cargo-fuzz --version 0.13.2", "cargo-fuzz", "does not match"),
        ("install cargo-fuzz", "install cargo-other", "does not match"),
    ] {
        let workflow = GOOD.replace(from, to);
        assert_ne!(workflow, GOOD, "{from}");
        let output = judge(&workflow).expect("it was there before");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() && text.contains(said), "{to}: {text}");
    }
}
