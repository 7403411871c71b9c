//! Tests that need a foreign program.

use std::io::Write;

/// Notes that this thread's test was skipped because a program is missing; in CI that is a failure. The line goes past the
/// test harness's capture, and `cargo xtask test` counts it.
pub(crate) fn skip(missing: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{missing} is missing, and CI needs it: cargo xtask setup"
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {missing} is missing");
}
