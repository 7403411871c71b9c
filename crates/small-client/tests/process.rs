//! The client as a process. Its reports are judged by truegauge's own tests (`tests/clients.rs` there).
#![cfg(unix)]

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_small-client"));
    // Standard input is at its end.
    command.args(arguments).output().expect("the client starts")
}

#[test]
fn version_flag_prints_the_package_version() {
    let output = run(&["--version"]);
    assert!(output.status.success());
    let expected = concat!("small-client ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn client_creates_its_ready_file_and_exits_at_end_of_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = run(&[&dir.path().display().to_string()]);
    assert!(output.status.success(), "{output:?}");
    assert!(dir.path().join("ready").exists());
}

#[test]
fn client_names_wrong_arguments_and_an_absent_directory() {
    let absent = "cannot create /no/such/directory/ready: No such file";
    for (arguments, said) in [(&[][..], "usage:"), (&["/no/such/directory"], absent)] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(said),
            "{output:?}"
        );
    }
}
