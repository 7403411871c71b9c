//! Views of the results: the terminal, the page, JUnit, Markdown, GitHub.

pub(crate) mod console;
pub(crate) mod files;
pub(crate) mod format;
mod github;
mod grouping;
mod html;
mod junit;
mod markdown;
pub(crate) mod matrix;
mod stdio;
pub(crate) mod table;

use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};

pub use self::console::Console;
use self::format::escaped;
use crate::error::Exit;
use crate::reporter::{Reporter, RunEvent};
use crate::results::{Matrix, Results, SOAK_PICTURES, Verdict};

pub(crate) const FAILED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DIMMED: Style = Style::new().dimmed();

/// The outputs of a run as they are written. One that cannot be written costs a warning and never the verdict.
#[must_use]
pub(crate) struct Outputs<'a> {
    reporter: &'a dyn Reporter,
    /// Why the first of those that were lost could not be written.
    lost: Option<String>,
}

impl<'a> Outputs<'a> {
    pub(crate) fn to(reporter: &'a dyn Reporter) -> Self {
        Self { reporter, lost: None }
    }

    pub(crate) fn attempt(&mut self, written: Result<()>) {
        if let Err(error) = written {
            self.reporter.emit(&RunEvent::Warning(&error));
            self.lost.get_or_insert_with(|| format!("{error:#}"));
        }
    }

    /// The exit code and the last line of a run that reached `exit` with this sentence: a pass without all of its outputs is the
    /// environment's fault, and any other verdict stands.
    pub(crate) fn conclude(self, exit: Exit, sentence: &str) -> (Exit, String) {
        match (exit, self.lost) {
            (Exit::Pass, Some(why)) => {
                let sentence = format!(
                    "{}: an output is lost: {}; {sentence}",
                    Verdict::Error,
                    escaped(&why)
                );
                (Exit::Environment, sentence)
            }
            _ => (exit, sentence.to_owned()),
        }
    }
}

/// Writes a run's results to its directory in every form, and reports it to GitHub Actions where this runs there.
pub(crate) fn publish<'a>(results: &mut Results, dir: &Path, reporter: &'a dyn Reporter) -> Outputs<'a> {
    const FILES: [&str; 4] = ["report.html", "results.json", "junit.xml", "summary.md"];
    results.find_artifacts(dir, &FILES);
    let results = &*results;
    let picture = SOAK_PICTURES
        .iter()
        .find_map(|path| std::fs::read_to_string(dir.join(path)).ok());
    let summary = markdown::render(results);
    let page = html::render(results, picture.as_deref());
    let mut outputs = Outputs::to(reporter);
    outputs.attempt(files::write_json(&dir.join("results.json"), results));
    let junit = junit::render(results);
    outputs.attempt(junit.and_then(|junit| files::write_text(&dir.join("junit.xml"), &junit)));
    outputs.attempt(files::write_text(&dir.join("summary.md"), &summary));
    outputs.attempt(files::write_text(&dir.join("report.html"), &page));
    github::emit(results, &summary, &mut outputs);
    outputs
}

/// Reports a run to GitHub Actions alone; `others` is what became of the directory for the rest, where one was asked for.
pub(crate) fn emit<'a>(results: &Results, others: Result<()>, reporter: &'a dyn Reporter) -> Outputs<'a> {
    let mut outputs = Outputs::to(reporter);
    outputs.attempt(others);
    github::emit(results, &markdown::render(results), &mut outputs);
    outputs
}

/// Writes a summary of many runs, and reports it to GitHub Actions where this runs there.
pub(crate) fn publish_matrix<'a>(
    matrix: &Matrix,
    verdict: Verdict,
    sentence: &str,
    runs: &[(PathBuf, Results)],
    dir: &Path,
    reporter: &'a dyn Reporter,
) -> Outputs<'a> {
    let summary = matrix::markdown(matrix, sentence);
    let page = html::matrix::render(matrix, verdict, sentence, runs);
    let mut outputs = Outputs::to(reporter);
    match std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display())) {
        Ok(()) => {
            outputs.attempt(files::write_text(&dir.join("summary.md"), &summary));
            outputs.attempt(files::write_text(&dir.join("summary.html"), &page));
        }
        Err(error) => outputs.attempt(Err(error)),
    }
    github::summarize(verdict, &summary, &mut outputs);
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reporter::Recorder;

    #[test]
    fn an_output_that_cannot_be_written_is_a_warning_and_never_the_verdict() {
        let recorder = Recorder::default();
        let outputs = |written: Result<()>| {
            let mut outputs = Outputs::to(&recorder);
            outputs.attempt(Ok(()));
            outputs.attempt(written);
            outputs
        };
        for exit in [Exit::Pass, Exit::Fail, Exit::Environment, Exit::Inconclusive] {
            assert_eq!(
                outputs(Ok(())).conclude(exit, "as it was"),
                (exit, "as it was".to_owned())
            );
        }
        let lost = || outputs(Err(anyhow::anyhow!("the disk is full")));
        let (exit, sentence) = lost().conclude(Exit::Pass, "PASS: 3 passed");
        assert_eq!(exit, Exit::Environment);
        assert_eq!(
            sentence,
            "ERROR: an output is lost: the disk is full; PASS: 3 passed"
        );
        for exit in [Exit::Fail, Exit::Inconclusive] {
            assert_eq!(lost().conclude(exit, "as it was"), (exit, "as it was".to_owned()));
        }
        let events = recorder.events();
        assert_eq!(events.len(), 3, "{events:?}");
        assert!(
            events[0].contains("Warning") && events[0].contains("the disk is full"),
            "{events:?}"
        );
    }

    #[test]
    fn one_file_that_cannot_be_written_leaves_the_others() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("junit.xml")).expect("created");
        let recorder = Recorder::default();
        let mut results = crate::results::examples::failed();
        let outputs = publish(&mut results, dir.path(), &recorder);
        assert_eq!(outputs.conclude(Exit::Fail, "").0, Exit::Fail);
        assert!(recorder.events().iter().any(|event| event.contains("junit.xml")));
        for file in ["results.json", "summary.md", "report.html"] {
            assert!(dir.path().join(file).is_file(), "{file}");
        }
    }
}
