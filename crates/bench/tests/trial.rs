//! A trial run fills every table.
#![cfg(target_os = "linux")]

use std::process::Command;

#[test]
fn every_table_has_runtime_metrics_and_the_costs_have_the_floor() {
    let run = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("--trial")
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let tables: Vec<&str> = text.split("\n**").skip(1).collect();
    assert_eq!(tables.len(), 5, "{text}");
    for table in tables {
        assert!(table.contains("\n| runtime-metrics | "), "{table}");
        assert_eq!(
            table.contains("\n| floor | "),
            !table.starts_with("Error"),
            "{table}"
        );
    }
}

#[test]
fn what_is_no_argument_is_refused() {
    let run = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("--quick")
        .output()
        .expect("run");
    assert!(!run.status.success());
    assert!(String::from_utf8_lossy(&run.stderr).contains("usage: bench"));
}
