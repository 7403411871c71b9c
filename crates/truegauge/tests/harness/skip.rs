//! Tests that need a foreign program.

use std::io::Write;

/// Notes that this thread's test was skipped because a program is missing, which CI does not accept. `cargo xtask test` names
/// a file in `TRUEGAUGE_SKIPPED_TESTS`, and lists at the end what stands in it.
pub(crate) fn skip(missing: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{missing} is missing, and CI needs it: cargo xtask setup"
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("SKIPPED: {test}: {missing} is missing\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("TRUEGAUGE_SKIPPED_TESTS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("the file that TRUEGAUGE_SKIPPED_TESTS names");
    }
}
