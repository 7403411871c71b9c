//! The tests, each one `.jq` file, as one suite.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::assertion::{Assertion, JudgeError};
use crate::compile::CompileError;
use crate::row::Row;

/// The embedded assertion files, by name, in order.
pub const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/assertions.rs"));

/// The compiled assertions of a run.
pub struct Suite(Vec<Assertion>);

/// Why there is no suite.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// A file does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A directory or a file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The directory or the file.
        path: String,
        /// The operating system's reason.
        error: std::io::Error,
    },
    /// The directory holds no `.jq` file.
    #[error("no assertions (*.jq) in {0}")]
    Empty(String),
}

impl Suite {
    /// Compiles the embedded files.
    ///
    /// # Errors
    /// If one does not compile, which this crate's tests exclude.
    pub fn embedded() -> Result<Self, SuiteError> {
        let compile = |(name, source): &(&str, &str)| Ok(Assertion::compile(*name, source)?);
        EMBEDDED.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// Compiles every `.jq` file of a directory, in the order of their names.
    ///
    /// # Errors
    /// If a file cannot be read or does not compile (with file, line and reason), or if there is none.
    pub fn from_dir(dir: &Path) -> Result<Self, SuiteError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            |error| SuiteError::Read { path, error }
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed(dir))? {
            paths.push(entry.map_err(failed(dir))?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jq"));
        paths.sort();
        if paths.is_empty() {
            return Err(SuiteError::Empty(dir.display().to_string()));
        }
        let compile = |path: &std::path::PathBuf| {
            let source = fs::read_to_string(path).map_err(failed(path))?;
            Ok(Assertion::compile(path.display().to_string(), &source)?)
        };
        paths.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// Judges one evidence with every assertion.
    ///
    /// # Errors
    /// If an assertion ends in an error or yields something else than rows.
    pub fn judge(&self, evidence: &Value) -> Result<Vec<Row>, JudgeError> {
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
    fn every_embedded_file_compiles() {
        let suite = Suite::embedded().expect("compiles");
        assert_eq!(suite.0.len(), EMBEDDED.len());
        assert!(EMBEDDED.len() >= 6);
    }

    #[test]
    fn a_directory_of_any_number_of_files_is_a_suite() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = |dir: &Path| Suite::from_dir(dir).err().expect("no suite").to_string();
        assert!(error(dir.path()).contains("no assertions"));
        assert!(error(&dir.path().join("absent")).contains("cannot read"));
        for (name, source) in EMBEDDED {
            fs::write(dir.path().join(name), source).expect("written");
        }
        let row = "{check: \"7.new\", passed: true, measured: 1, allowed: 1}";
        fs::write(dir.path().join("7-new.jq"), row).expect("written");
        fs::write(dir.path().join("README"), "not an assertion").expect("written");
        let rows = Suite::from_dir(dir.path())
            .expect("compiles")
            .judge(&seeded_defects::good_evidence())
            .expect("judged");
        assert_eq!(rows.iter().filter(|row| row.check == "7.new").count(), 1);
    }

    #[test]
    fn a_file_that_does_not_compile_is_named_with_its_line() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("1-bad.jq"), "# fine\n.a |\n").expect("written");
        let error = Suite::from_dir(dir.path()).err().expect("bad").to_string();
        assert!(
            error.contains("1-bad.jq:2") || error.contains("1-bad.jq:3"),
            "{error}"
        );
    }
}
