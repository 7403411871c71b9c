//! The six tests: every `.jq` file of `xtask/assertions`, in order.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use checks::{Assertion, Row};

use crate::workspace;

/// The compiled assertions.
pub(crate) struct Checks(Vec<Assertion>);

/// Where they lie.
pub(crate) fn dir() -> PathBuf {
    workspace::root().join("xtask/assertions")
}

impl Checks {
    /// Compiles every file, before anything is started: a typing error must not cost a run.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let entries = std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
        let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        paths.retain(|path| path.extension().is_some_and(|ext| ext == "jq"));
        paths.sort();
        ensure!(!paths.is_empty(), "no assertions in {}", dir.display());
        let compile = |path: &PathBuf| {
            let source =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Assertion::compile(workspace::shown(path), &source)?)
        };
        paths.iter().map(compile).collect::<Result<_>>().map(Self)
    }

    /// Judges one evidence.
    pub(crate) fn judge(&self, evidence: &Value) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for assertion in &self.0 {
            rows.extend(assertion.judge(evidence)?);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_six_tests_compile() {
        let checks = Checks::load(&dir()).expect("compiles");
        assert_eq!(checks.0.len(), 6);
    }

    #[test]
    fn a_bad_file_is_named_with_its_line() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(
            Checks::load(dir.path())
                .err()
                .expect("empty")
                .to_string()
                .contains("no assertions")
        );
        std::fs::write(dir.path().join("1-bad.jq"), "# fine\n.a |\n").expect("written");
        let error = format!("{:#}", Checks::load(dir.path()).err().expect("bad"));
        assert!(
            error.contains("1-bad.jq") && error.contains(":2") || error.contains(":3"),
            "{error}"
        );
    }
}
