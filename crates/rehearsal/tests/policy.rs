//! The workflows' policy refuses each workflow that breaks it, and the pinned Rust is the one that they install.

use std::io::Write as _;
use std::path::{Path, PathBuf};
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
      - run: rustup toolchain install --profile minimal --no-self-update
      - run: cargo xtask ci
      - run: cargo install cargo-fuzz --version 0.13.2 --locked
  macos:
    strategy: {fail-fast: false, matrix: {runner: [macos-26]}}
    runs-on: macos-26
    timeout-minutes: 6
    steps:
      - run: cargo xtask verify-macos
";

/// The checkout, as cargo names it at run time.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package");
    let crates = Path::new(&package).parent().expect("a directory");
    crates.parent().expect("the workspace").to_owned()
}

fn metadata() -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").expect("cargo names itself");
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The answer of `check-jsonschema`, from our own environment or from PATH. `None` if it is missing, which CI does not accept.
fn judge(workflow: &str) -> Option<Output> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("workflow.yml");
    std::fs::write(&file, workflow).expect("written");
    let metadata = metadata();
    let target_dir = metadata["target_directory"].as_str().expect("a path");
    let ours = Path::new(target_dir).join("tools/python/bin/check-jsonschema");
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
        "check-jsonschema is missing: cargo xtask setup"
    );
    output
}

#[test]
fn a_workflow_that_breaks_the_policy_is_refused() {
    let Some(good) = judge(GOOD) else {
        let skipped = "SKIPPED: a_workflow_that_breaks_the_policy_is_refused: check-jsonschema is missing";
        let _ = writeln!(std::io::stderr(), "{skipped}");
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
        ("install --profile minimal", "default stable", "does not match"),
        ("fail-fast: false, ", "", "fail-fast"),
        ("fail-fast: false", "fail-fast: true", "False was expected"),
        (
            "    timeout-minutes: 6\n",
            "    timeout-minutes: 6\n    continue-on-error: true\n",
            "False was expected",
        ),
    ] {
        let workflow = GOOD.replace(from, to);
        assert_ne!(workflow, GOOD, "{from}");
        let output = judge(&workflow).expect("it was there before");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() && text.contains(said), "{to}: {text}");
    }
}

#[test]
fn each_published_crate_is_checked_with_the_rust_that_it_declares() {
    let ci = std::fs::read_to_string(root().join(".github/workflows/ci.yml")).expect("read");
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let is_published = |package: &&serde_json::Value| package["publish"] != serde_json::json!([]);
    let published: Vec<_> = packages.iter().filter(is_published).collect();
    assert!(!published.is_empty());
    for package in published {
        let (name, version) = (&package["name"], &package["rust_version"]);
        let (name, version) = (
            name.as_str().expect("a name"),
            version.as_str().expect("a version"),
        );
        for part in [
            format!("RUSTUP_TOOLCHAIN: \"{version}\""),
            format!("rustup toolchain install {version} --profile minimal"),
            format!("cargo check --package {name} --locked"),
        ] {
            assert!(ci.contains(&part), "ci.yml lacks {part}");
        }
    }
}

/// True if every step of the job has a limit, and the job's own limit has room for all of them. A job that reaches its limit is
/// cancelled, and then its verdict does not run.
fn has_room_for_all_steps(workflow: &str, job: &str) -> bool {
    let block = workflow.split_once(&format!("\n  {job}:\n")).expect("the job").1;
    let lines: Vec<&str> = block
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .collect();
    let limits = |indentation: &str| -> Vec<u32> {
        let values = lines
            .iter()
            .filter_map(|line| line.strip_prefix(indentation)?.strip_prefix("timeout-minutes: "));
        values.map(|value| value.parse().expect("minutes")).collect()
    };
    let (of_job, of_steps) = (limits("    "), limits("        "));
    let steps = lines.iter().filter(|line| line.starts_with("      - ")).count();
    of_steps.len() == steps && of_steps.iter().sum::<u32>() <= of_job[0]
}

#[test]
fn a_mac_leg_has_time_for_its_verdict_whatever_the_other_steps_take() {
    let ci = std::fs::read_to_string(root().join(".github/workflows/ci.yml")).expect("read");
    assert!(has_room_for_all_steps(&ci, "macos"));
    for (from, to) in [
        ("timeout-minutes: 180", "timeout-minutes: 150"),
        ("        timeout-minutes: 15\n", ""),
    ] {
        let changed = ci.replace(from, to);
        assert_ne!(changed, ci, "{from}");
        assert!(!has_room_for_all_steps(&changed, "macos"), "{to:?}");
    }
}
