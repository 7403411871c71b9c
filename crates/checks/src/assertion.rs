//! A `.jq` file that judges evidence.

use std::collections::HashSet;
use std::fmt;

use jaq_core::{Ctx, Exn, Vars, data::JustLut};
use jaq_json::Val;
use serde::Deserialize;
use serde_json::Value;

use crate::compile::{self, CompileError, Filter};
use crate::{Row, json};

/// The most rows that one file may yield for one evidence: an assertion beyond that does not judge, it runs away.
pub const MAX_ROWS: usize = 10_000;

/// A compiled `.jq` file.
pub struct Assertion {
    file: String,
    filter: Filter,
}

/// Evidence that could not be judged. That is an error of the assertion, or evidence that is none: what a client
/// reports, however wrong, makes rows fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// The filter ended with an error.
    #[error("{file}: the filter failed after {rows} rows: {message}")]
    Runtime {
        /// The assertion's file.
        file: String,
        /// How many rows it had yielded by then.
        rows: usize,
        /// jq's message, cut to a line that can be shown.
        message: String,
    },
    /// An output that is no row.
    #[error("{file}: row {number} is malformed: {reason}")]
    MalformedRow {
        /// The assertion's file.
        file: String,
        /// Which output it was, from 1.
        number: usize,
        /// The id of its check where it has one, the key that is wrong, and how.
        reason: String,
    },
    /// Two rows of one check.
    #[error("{file}: check {check:?} is there twice")]
    DuplicateCheck {
        /// The assertion's file.
        file: String,
        /// The check's id.
        check: String,
    },
    /// No row at all: what judged nothing has not passed.
    #[error("{file}: no row: nothing was judged (are there reports in the evidence?)")]
    NoRow {
        /// The assertion's file.
        file: String,
    },
    /// More than [`MAX_ROWS`].
    #[error("{file}: more than {MAX_ROWS} rows")]
    TooManyRows {
        /// The assertion's file.
        file: String,
    },
}

impl Assertion {
    /// Compiles a file's text. The name is only for messages; nothing is read.
    ///
    /// # Errors
    /// [`CompileError`] names file, line and column of everything that is no jq or not defined. Imports, `now`, `env`
    /// and the local time are not there: the evidence is all that a verdict may depend on.
    pub fn compile(file_name: impl Into<String>, source: &str) -> Result<Self, CompileError> {
        let file = file_name.into();
        // Nearly all of the time (a third of a millisecond) goes into jq's own definitions; jaq gives no way to compile
        // those once for several filters.
        let filter = compile::filter(&file, source)?;
        Ok(Self { file, filter })
    }

    /// The name that the file was compiled under.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Runs the filter on the evidence: its rows, in its order, at least one.
    ///
    /// # Errors
    /// A [`JudgeError`] when the filter fails, or yields nothing, too much, or anything but well-formed rows of
    /// different checks.
    pub fn judge(&self, evidence: &Value) -> Result<Vec<Row>, JudgeError> {
        let file = || self.file.clone();
        let input = Val::deserialize(evidence).map_err(|error| JudgeError::Runtime {
            file: file(),
            rows: 0,
            message: error.to_string(),
        })?;

        let mut rows = Vec::new();
        let mut checks = HashSet::new();
        let context = Ctx::<JustLut<Val>>::new(&self.filter.lut, Vars::new([]));
        for output in self.filter.id.run((context, input)) {
            if rows.len() == MAX_ROWS {
                return Err(JudgeError::TooManyRows { file: file() });
            }
            let output = output.map_err(|exception| JudgeError::Runtime {
                file: file(),
                rows: rows.len(),
                message: message(exception),
            })?;
            let row = read_row(&output).map_err(|reason| JudgeError::MalformedRow {
                file: file(),
                number: rows.len() + 1,
                reason,
            })?;
            if !checks.insert(row.check.clone()) {
                return Err(JudgeError::DuplicateCheck {
                    file: file(),
                    check: row.check,
                });
            }
            rows.push(row);
        }
        if rows.is_empty() {
            return Err(JudgeError::NoRow { file: file() });
        }
        Ok(rows)
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn read_row(output: &Val) -> Result<Row, String> {
    let output = json::from_val(output).map_err(|what| format!("it holds {what}"))?;
    let check = output["check"]
        .as_str()
        .map(|check| format!("{check}: "))
        .unwrap_or_default();
    Row::from_output(output).map_err(|reason| check + &reason)
}

/// What jq would print, cut: a type error quotes the whole value that it is about.
pub(crate) fn message(exception: Exn<'_, Val>) -> String {
    const LONGEST: usize = 300;
    let text = match exception.get_err() {
        Ok(error) => match error.into_val() {
            Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
            other => other.to_string(),
        },
        Err(_) => "it halted".to_owned(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(source: &str, evidence: Value) -> Result<Vec<Row>, String> {
        let assertion = Assertion::compile("t.jq", source).unwrap();
        assertion.judge(&evidence).map_err(|error| error.to_string())
    }

    #[test]
    fn an_assertion_goes_by_the_name_of_its_file() {
        let assertion = Assertion::compile("3-cpu.jq", ".").unwrap();
        assert_eq!(assertion.file(), "3-cpu.jq");
        assert_eq!(format!("{assertion:?}"), r#"Assertion { file: "3-cpu.jq", .. }"#);
    }

    #[test]
    fn rows_come_in_the_order_of_the_file() {
        let source = r#".[] | {check: "\(.)", passed: (. > 1), measured: ., allowed: {min: 2}}"#;
        let rows = judge(source, json!([2, 1, 3])).unwrap();
        let judged: Vec<_> = rows.iter().map(|row| (row.check.as_str(), row.passed)).collect();
        assert_eq!(judged, [("2", Some(true)), ("1", Some(false)), ("3", Some(true))]);
    }

    #[test]
    fn what_is_no_judgement_is_an_error() {
        let row = r#"{check: "1.a", passed: true, measured: 1, allowed: 1}"#;
        let many = format!("range({}) | {}", MAX_ROWS + 1, row.replace("1.a", r"\(.)"));
        let cases = [
            (
                "empty",
                "t.jq: no row: nothing was judged (are there reports in the evidence?)",
            ),
            (
                ".reports[]",
                "t.jq: no row: nothing was judged (are there reports in the evidence?)",
            ),
            (&format!("{row}, {row}"), "t.jq: check \"1.a\" is there twice"),
            (&many, "t.jq: more than 10000 rows"),
            ("1", "t.jq: row 1 is malformed: a number where an object belongs"),
            (
                &format!("{row}, {{check: \"1.b\"}}"),
                "t.jq: row 2 is malformed: 1.b: missing field `passed`",
            ),
            (
                &format!("{row} | .measured = (\"x\" | tobytes)"),
                "t.jq: row 1 is malformed: it holds a byte string",
            ),
            (
                &format!("{row}, error(\"no thresholds\")"),
                "t.jq: the filter failed after 1 rows: no thresholds",
            ),
            (
                &format!("{row}, halt"),
                "t.jq: the filter failed after 1 rows: it halted",
            ),
            (
                ".reports.busy",
                "t.jq: the filter failed after 0 rows: cannot index [] with \"busy\"",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(
                judge(source, json!({"reports": []})).unwrap_err(),
                expected,
                "{source}"
            );
        }
    }

    #[test]
    fn a_message_does_not_quote_the_whole_evidence() {
        let error = judge(".text.x", json!({"text": "ü".repeat(100_000)})).unwrap_err();
        assert!(error.contains("cannot index \"üü"), "{error}");
        assert!(error.chars().count() < 400, "{error}");
    }

    #[test]
    fn ten_thousand_rows_are_not_too_many() {
        let source =
            format!(r#"range({MAX_ROWS}) | {{check: "\(.)", passed: true, measured: ., allowed: .}}"#);
        assert_eq!(judge(&source, json!(null)).unwrap().len(), MAX_ROWS);
    }
}
