//! GitHub Actions: groups in the log, annotations, the step's summary, its output. All of it is text that the runner reads
//! from standard output or from files that it names.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use checks::{Outcome, Row};
use rustix::fs::OFlags;

use super::Outputs;
use super::format::{allowed, plain, shown};
use crate::reporter::RunEvent;
use crate::results::{Results, Verdict};

/// Of ten errors that GitHub shows of a step: room is left for what the runner itself reports.
const MAX_ERRORS: usize = 9;

/// A step's summary above 1,024 KiB is dropped whole.
const MAX_SUMMARY_BYTES: usize = 900_000;

/// Whether this runs in a workflow there.
pub(crate) fn is_here() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// Reports a run's results: annotations, summary, output. Does nothing elsewhere.
pub(super) fn emit(results: &Results, summary: &str, outputs: &mut Outputs<'_>) {
    if !is_here() {
        return;
    }
    for annotation in annotations(results) {
        outputs.reporter.emit(&RunEvent::WorkflowCommand(&annotation));
    }
    summarize(results.verdict, summary, outputs);
}

/// Writes a summary and a verdict. Does nothing elsewhere.
pub(super) fn summarize(verdict: Verdict, summary: &str, outputs: &mut Outputs<'_>) {
    if !is_here() {
        return;
    }
    if let Some(file) = file_named_by("GITHUB_STEP_SUMMARY") {
        // The step's earlier output counts as well.
        let taken = std::fs::metadata(&file).map_or(0, |meta| meta.len() as usize);
        outputs.attempt(append(
            &file,
            &cut(summary, MAX_SUMMARY_BYTES.saturating_sub(taken)),
        ));
    }
    if let Some(file) = file_named_by("GITHUB_OUTPUT") {
        outputs.attempt(append(&file, &format!("verdict={}\n", verdict.word())));
    }
}

/// Text that the runner takes for no command. It reads every line of both streams: one that begins with `::`, blanks aside, and
/// one that holds `##[` anywhere (actions/runner, `ActionCommand.TryParseV2` and `TryParse`). Names of files and a client's log
/// are not ours to choose.
pub(super) fn without_commands(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        // A carriage return ends a line as well.
        let line = line.replace('\r', "\\r").replace("##[", "##\\[");
        let blanks = line.len() - line.trim_start().len();
        if line[blanks..].starts_with("::") {
            format!("{}\\{}", &line[..blanks], &line[blanks..])
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn file_named_by(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Appends to a regular file. Opening a named pipe would wait for a reader.
fn append(path: &Path, text: &str) -> Result<()> {
    let append = || -> Result<()> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        options.custom_flags(OFlags::NONBLOCK.bits() as i32);
        let mut file = options.open(path)?;
        ensure!(file.metadata()?.is_file(), "it is no regular file");
        Ok(file.write_all(text.as_bytes())?)
    };
    append().with_context(|| format!("cannot write {}", path.display()))
}

/// One error a failed check, nine at most, and where the others are; a warning where nothing failed and yet it did not pass.
fn annotations(results: &Results) -> Vec<String> {
    let failed: Vec<&Row> = results
        .checks
        .iter()
        .filter(|row| row.outcome() == Outcome::Fail)
        .collect();
    let mut lines: Vec<String> = failed.iter().take(MAX_ERRORS).map(|row| of_row(row)).collect();
    if let Some(more @ 1..) = failed.len().checked_sub(MAX_ERRORS) {
        let text = format!("{more} more failed checks: see the step's summary, or results.json");
        lines.push(annotation("notice", "more failures", &text));
    }
    match results.verdict {
        Verdict::Pass => {}
        Verdict::Inconclusive => lines.push(annotation("warning", "inconclusive", &plain(&results.sentence))),
        Verdict::Fail | Verdict::Error if failed.is_empty() => {
            lines.push(annotation(
                "error",
                results.verdict.word(),
                &plain(&results.sentence),
            ));
        }
        Verdict::Fail | Verdict::Error => {}
    }
    lines
}

fn of_row(row: &Row) -> String {
    let title = row.title.as_deref().unwrap_or_default();
    let remedy = row.remedy.as_deref().unwrap_or_default();
    let text = format!(
        "{title}: measured {}, allowed {}\n{remedy}",
        shown(&row.measured),
        allowed(row)
    );
    annotation("error", &row.check, text.trim_end())
}

fn annotation(level: &str, title: &str, text: &str) -> String {
    format!(
        "::{level} title={}::{}",
        escape_property(title),
        escape_data(text)
    )
}

/// As the runner's own toolkit escapes what follows the second `::`.
pub(super) fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As the runner's own toolkit escapes a property's value.
fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// At most so many bytes, whole lines, saying that there was more.
fn cut(text: &str, most: usize) -> String {
    const POINTER: &str = "\n\nThe rest is in summary.md, among the run's artifacts.\n";
    if text.len() <= most {
        return text.to_owned();
    }
    let Some(room) = most.checked_sub(POINTER.len()) else {
        return String::new();
    };
    let newline = text.as_bytes()[..room].iter().rposition(|byte| *byte == b'\n');
    let end = newline.unwrap_or(0);
    format!("{}{POINTER}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    #[test]
    fn no_line_of_other_text_is_a_command() {
        for (text, expected) in [
            ("a\nb", "a\nb"),
            ("x.zip\n::error::forged", "x.zip\n\\::error::forged"),
            ("  ::set-output name=x::y", "  \\::set-output name=x::y"),
            ("a::b", "a::b"),
            ("log ##[error]forged", "log ##\\[error]forged"),
            ("x\r::error::forged", "x\\r::error::forged"),
        ] {
            assert_eq!(without_commands(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_the_runner_would_read_as_its_own_is_escaped() {
        for (text, data, property) in [
            ("plain", "plain", "plain"),
            ("100 %", "100 %25", "100 %25"),
            ("a\r\nb", "a%0D%0Ab", "a%0D%0Ab"),
            ("%0A", "%250A", "%250A"),
            ("x: a,b", "x: a,b", "x%3A a%2Cb"),
            ("::error::x", "::error::x", "%3A%3Aerror%3A%3Ax"),
        ] {
            assert_eq!(escape_data(text), data);
            assert_eq!(escape_property(text), property);
        }
    }

    #[test]
    fn named_pipe_is_refused_with_and_without_a_reader() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo");
        append(&pipe, "x").expect_err("nobody reads");
        let reader = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(&pipe);
        let error = append(&pipe, "x").expect_err("no file");
        assert!(format!("{error:#}").contains("no regular file"), "{error:#}");
        drop(reader);
    }

    #[test]
    fn a_failure_is_one_line_with_what_to_do() {
        assert_eq!(
            annotations(&examples::failed()),
            [
                "::error title=3.busy.process::process CPU against the observer: measured 1.25, allowed 17.5 … 52.76 %25 of a \
                 core%0Alook at <the clock> & the window"
            ]
        );
    }

    #[test]
    fn nine_errors_and_a_pointer() {
        let mut results = examples::failed();
        let row = results.checks[1].clone();
        results.checks = vec![row; 9];
        assert_eq!(annotations(&results).len(), 9);
        results.checks.extend(results.checks.clone());
        let lines = annotations(&results);
        let errors = lines.iter().filter(|line| line.starts_with("::error ")).count();
        assert_eq!((errors, lines.len()), (9, 10));
        assert!(
            lines[9].starts_with("::notice ") && lines[9].contains("9 more"),
            "{lines:?}"
        );
        assert!(lines.iter().all(|line| !line.contains('\n')));
    }

    #[test]
    fn whatever_did_not_pass_says_so() {
        let mut results = examples::failed();
        results.checks.clear();
        for (verdict, start) in [
            (Verdict::Error, Some("::error title=error::")),
            (Verdict::Fail, Some("::error title=fail::")),
            (Verdict::Inconclusive, Some("::warning ")),
            (Verdict::Pass, None),
        ] {
            results.verdict = verdict;
            let lines = annotations(&results);
            assert_eq!(lines.len(), usize::from(start.is_some()), "{lines:?}");
            assert!(start.is_none_or(|start| lines[0].starts_with(start)), "{lines:?}");
        }
    }

    #[test]
    fn a_long_summary_is_cut_at_a_line_and_points_to_the_rest() {
        assert_eq!(cut("a\nb\n", 4), "a\nb\n");
        let long = "zeile ü\n".repeat(200_000);
        let short = cut(&long, MAX_SUMMARY_BYTES);
        assert!(short.len() <= MAX_SUMMARY_BYTES && short.len() > MAX_SUMMARY_BYTES - 200);
        assert!(short.ends_with("among the run's artifacts.\n"));
        assert_eq!(cut(&long, 3), "", "there is no room to say anything");
    }
}
