//! What a run leaves is what its schemas say, and its page works in a browser.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::skip::skip;

fn root() -> PathBuf {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    manifest.ancestors().nth(2).expect("the workspace").to_owned()
}

/// Runs a tool that `cargo xtask setup` installs; `None` where it is missing.
pub(crate) fn tool(name: &str, arguments: impl FnOnce(&mut Command)) -> Option<Output> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let ours: PathBuf = target.join("tools/python/bin").join(name);
    let mut command = Command::new(if ours.exists() { ours } else { name.into() });
    arguments(&mut command);
    let output = command.output().ok();
    if output.is_none() {
        skip(name);
    }
    output
}

/// Whether a results.json is what docs/results.schema.json says, and what is said of it.
pub(crate) fn validate_results(file: &Path) -> Option<(bool, String)> {
    let schema = root().join("docs/results.schema.json");
    let output = tool("check-jsonschema", |command| {
        command.arg("--schemafile").arg(schema).arg(file);
    })?;
    Some(told(&output))
}

/// Whether a junit.xml is what CI systems read, and what is said of it.
pub(crate) fn validate_junit(file: &Path) -> Option<(bool, String)> {
    let schema = root().join("crates/truegauge/tests/junit.xsd");
    let output = tool("xmllint", |command| {
        command
            .args(["--noout", "--nonet", "--schema"])
            .arg(schema)
            .arg(file);
    })?;
    Some(told(&output))
}

fn told(output: &Output) -> (bool, String) {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Fails where a run's files are not what they should be.
pub(crate) fn assert_files(dir: &Path) {
    for judged in [
        validate_results(&dir.join("results.json")),
        validate_junit(&dir.join("junit.xml")),
    ] {
        assert!(judged.as_ref().is_none_or(|(passed, _)| *passed), "{judged:?}");
    }
    for file in ["report.html", "summary.md"] {
        assert!(dir.join(file).is_file(), "{file}");
    }
}
