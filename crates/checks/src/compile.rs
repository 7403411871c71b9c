//! From the text of a `.jq` file to a filter, or to what is wrong with the text.

use std::fmt;

use jaq_core::load::{self, Arena, File, Loader, lex::Expect};
use jaq_core::{Compiler, compile::Undefined, data::JustLut};
use jaq_json::Val;

pub(crate) type Filter = jaq_core::Filter<JustLut<Val>>;

/// Filters of jq's library that see more than the evidence; without them a verdict depends on the evidence alone.
const IMPURE: [&str; 4] = ["env", "localtime", "now", "strflocaltime"];

/// A `.jq` file that is no jq, or that uses what is not there. Shown as `FILE:LINE:COLUMN: REASON`, with `; `
/// between problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The file's name, as it was given.
    pub file: String,
    /// What is wrong with it; never empty.
    pub problems: Vec<Problem>,
}

/// One place in a `.jq` file, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was expected, or is not defined.
    pub reason: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Problem { line, column, reason }) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}:{line}:{column}: {reason}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}

/// Compiles a filter against the whole of jq's library, but for [`IMPURE`].
pub(crate) fn filter(file: &str, source: &str) -> Result<Filter, CompileError> {
    let error = |problems| CompileError {
        file: file.to_owned(),
        problems,
    };
    let arena = Arena::default();
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let modules = Loader::new(definitions)
        .load(
            &arena,
            File {
                code: source,
                path: (),
            },
        )
        .map_err(|errors| error(problems(errors, load_problems)))?;
    load::import(&modules, |_| Err("an assertion imports nothing".to_owned()))
        .map_err(|errors| error(problems(errors, load_problems)))?;

    let functions = jaq_core::funs::<JustLut<Val>>()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    Compiler::default()
        .with_funs(functions.filter(|(name, ..)| !IMPURE.contains(name)))
        .compile(modules)
        .map_err(|errors| error(problems(errors, undefined_problems)))
}

/// The problems of all files; `explain` gives each with the slice of the source that it is about.
fn problems<'s, E>(
    errors: load::Errors<&'s str, (), E>,
    explain: fn(E) -> Vec<(&'s str, String)>,
) -> Vec<Problem> {
    let in_file = |(file, error): (File<&'s str, ()>, E)| {
        explain(error).into_iter().map(move |(part, reason)| {
            let (line, column) = position(file.code, part);
            Problem { line, column, reason }
        })
    };
    errors.into_iter().flat_map(in_file).collect()
}

fn load_problems(error: load::Error<&str>) -> Vec<(&str, String)> {
    let unexpected = |expected: &str, found| (found, format!("expected {expected}, found {}", quoted(found)));
    match error {
        load::Error::Io(imports) => imports
            .into_iter()
            .map(|(path, reason)| (path, format!("cannot import {}: {reason}", quoted(path))))
            .collect(),
        load::Error::Lex(errors) => errors
            .into_iter()
            .map(|(expected, found)| match expected {
                // jaq has come to where it ends; people look for where it begins.
                Expect::Delim(open) => (open, format!("{open} is never closed")),
                _ => unexpected(expected.as_str(), found),
            })
            .collect(),
        load::Error::Parse(errors) => errors
            .into_iter()
            .map(|(expected, found)| unexpected(expected.as_str(), found))
            .collect(),
    }
}

fn undefined_problems(errors: Vec<(&str, Undefined)>) -> Vec<(&str, String)> {
    let explain = |(name, undefined): (_, Undefined)| match undefined {
        Undefined::Filter(arity) => (name, format!("undefined filter {name}/{arity}")),
        _ => (name, format!("undefined {} {name}", undefined.as_str())),
    };
    errors.into_iter().map(explain).collect()
}

/// What stands at a problem's place, cut to what a message can hold.
fn quoted(found: &str) -> String {
    const LONGEST: usize = 30;
    match found.lines().next() {
        None => "the end of the file".to_owned(),
        Some(line) if line.chars().count() > LONGEST => {
            format!("`{}…`", line.chars().take(LONGEST).collect::<String>())
        }
        Some(line) => format!("`{line}`"),
    }
}

/// Line and column of `part`, a slice of `source`.
fn position(source: &str, part: &str) -> (usize, usize) {
    let before = &source[..load::span(source, part).start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(source: &str) -> String {
        filter("t.jq", source).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_file_line_column_and_reason() {
        let cases = [
            // Lexing.
            ("# a comment\n.a | (.b | .c\n", "t.jq:2:6: ( is never closed"),
            (
                "{check:\n \"1",
                "t.jq:2:2: \" is never closed; t.jq:1:1: { is never closed",
            ),
            (".a\n  | §", "t.jq:2:5: expected token, found `§`"),
            (
                "\"\\q\"",
                "t.jq:1:3: expected string escape sequence, found `q\"`",
            ),
            (".a\n]", "t.jq:2:1: expected token, found `]`"),
            // Parsing.
            ("", "t.jq:1:1: expected term, found the end of the file"),
            (
                ".a |\n if .b then 1",
                "t.jq:2:14: expected else or end, found the end of the file",
            ),
            (
                "{a: 1\n b: 2}",
                "t.jq:2:2: expected comma or right brace, found `b`",
            ),
            // Compiling.
            (
                ".a\n| frobnicate(1; 2)",
                "t.jq:2:3: undefined filter frobnicate/2",
            ),
            (".a as $b\n| \"ü\" + $c", "t.jq:2:9: undefined variable $c"),
            ("# no label\nbreak $out", "t.jq:2:7: undefined label $out"),
            (
                "nope,\n  never",
                "t.jq:1:1: undefined filter nope/0; t.jq:2:3: undefined filter never/0",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(message(source), expected, "{source:?}");
        }
    }

    #[test]
    fn what_a_message_quotes_is_cut_to_thirty_characters_of_one_line() {
        let quoted_whole = format!("`{}`", "ü".repeat(30));
        assert_eq!(quoted(&"ü".repeat(30)), quoted_whole);
        assert_eq!(quoted(&"ü".repeat(31)), format!("`{}…`", "ü".repeat(30)));
        assert_eq!(quoted("first\nsecond"), "`first`");
        assert_eq!(quoted(""), "the end of the file");
    }

    #[test]
    fn a_verdict_can_depend_on_nothing_but_the_evidence() {
        let cases = [
            ("now", "t.jq:1:1: undefined filter now/0"),
            ("env", "t.jq:1:1: undefined filter env/0"),
            ("$ENV", "t.jq:1:1: undefined variable $ENV"),
            ("input", "t.jq:1:1: undefined filter input/0"),
            (
                "import \"lib\" as lib; lib::f",
                "t.jq:1:9: cannot import `lib`: module loading not supported",
            ),
            (
                "import \"data\" as $data; $data",
                "t.jq:1:9: cannot import `data`: an assertion imports nothing",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(message(source), expected, "{source:?}");
        }
    }

    #[test]
    fn the_whole_library_but_that_is_there() {
        let source =
            r#"[.[] | select(type == "number" and isnormal) | floor, fabs] | length, (tojson | test("^x$"))"#;
        assert!(filter("t.jq", source).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(
            source in r#"([.|(){}\[\]"$@;:,?\\#üa-f0-9 \n]|if |then |else |end|def |reduce |as |import |label )*"#,
        ) {
            let _ = filter("t.jq", &source);
        }
    }
}
