//! Judging, pure: jq assertions over evidence.
//!
//! An [`Assertion`] is a `.jq` file, compiled once. It [judges](Assertion::judge) one evidence, a JSON value, and yields
//! [`Row`]s: each a claim, what was measured, what is allowed, and whether that passed. A [`Suite`] is all of them, embedded
//! or read from a directory. Judging does no I/O, reads no clock and no environment, and does not know the types that wrote
//! the evidence: the same file gives the same rows with plain `jq -f FILE evidence.json`.
//!
//! ```
//! use serde_json::json;
//! use checks::{Assertion, Outcome, Tally};
//!
//! let source = r#"
//!     .threads | length
//!     | {check: "1.threads", passed: (. >= 1), measured: ., allowed: {min: 1}}
//! "#;
//! let assertion = Assertion::compile("1-threads.jq", source)?;
//! let rows = assertion.judge(&json!({"threads": []}))?;
//! assert_eq!(rows.iter().collect::<Tally>().outcome(), Outcome::Fail);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Assertions are the project's own and trusted to end; evidence is not trusted. Its depth is bounded by its parser
//! (`serde_json`: 128), and with it every recursion over it here and in the interpreter.

mod assertion;
mod compile;
mod edit;
mod json;
mod outcome;
mod row;
mod suite;

pub use assertion::{Assertion, JudgeError, MAX_ROWS};
pub use compile::{CompileError, Problem};
pub use edit::{Edit, EditError};
pub use outcome::{Outcome, Tally, unjudged_tests};
pub use row::{Allowed, Range, Row};
pub use suite::{EMBEDDED, Suite, SuiteError};
