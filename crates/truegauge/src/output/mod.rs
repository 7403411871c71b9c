//! Views of the results: the terminal, the page, JUnit, Markdown, GitHub.

pub(crate) mod console;
pub(crate) mod files;
mod format;
mod github;
mod grouping;
mod html;
mod junit;
mod markdown;
pub(crate) mod matrix;
pub(crate) mod table;

use std::path::Path;

use anstyle::{AnsiColor, Style};
use anyhow::Result;

pub use self::console::Console;
use crate::error::Exit;
use crate::reporter::{Reporter, RunEvent};
use crate::results::{Matrix, Results, SOAK_PICTURES, Verdict};

pub(crate) const FAILED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DIMMED: Style = Style::new().dimmed();

/// The outputs of a run as they are written. One that cannot be written costs a warning and never the verdict.
#[must_use]
pub(crate) struct Outputs<'a> {
    reporter: &'a dyn Reporter,
    all_written: bool,
}

impl<'a> Outputs<'a> {
    fn to(reporter: &'a dyn Reporter) -> Self {
        Self {
            reporter,
            all_written: true,
        }
    }

    fn attempt(&mut self, written: Result<()>) {
        if let Err(error) = written {
            self.all_written = false;
            self.reporter.emit(&RunEvent::Warning(&error));
        }
    }

    /// The exit code of a run that reached `exit`: a pass without all of its outputs is the environment's fault, and any other
    /// verdict stands.
    pub(crate) fn exit(self, exit: Exit) -> Exit {
        match exit {
            Exit::Pass if !self.all_written => Exit::Environment,
            other => other,
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

/// Reports a run to GitHub Actions alone.
pub(crate) fn emit<'a>(results: &Results, reporter: &'a dyn Reporter) -> Outputs<'a> {
    let mut outputs = Outputs::to(reporter);
    github::emit(results, &markdown::render(results), &mut outputs);
    outputs
}

/// Writes a summary of many runs, and reports it to GitHub Actions where this runs there.
pub(crate) fn publish_matrix<'a>(
    matrix: &Matrix,
    verdict: Verdict,
    sentence: &str,
    runs: &[(String, Results)],
    dir: &Path,
    reporter: &'a dyn Reporter,
) -> Outputs<'a> {
    let summary = matrix::markdown(matrix, sentence);
    let page = html::matrix::render(matrix, verdict, sentence, runs);
    let mut outputs = Outputs::to(reporter);
    outputs.attempt(files::write_text(&dir.join("summary.md"), &summary));
    outputs.attempt(files::write_text(&dir.join("summary.html"), &page));
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
            assert_eq!(outputs(Ok(())).exit(exit), exit);
        }
        let lost = || outputs(Err(anyhow::anyhow!("the disk is full")));
        assert_eq!(lost().exit(Exit::Pass), Exit::Environment);
        assert_eq!(lost().exit(Exit::Fail), Exit::Fail);
        assert_eq!(lost().exit(Exit::Inconclusive), Exit::Inconclusive);
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
        assert_eq!(outputs.exit(Exit::Fail), Exit::Fail);
        assert!(recorder.events().iter().any(|event| event.contains("junit.xml")));
        for file in ["results.json", "summary.md", "report.html"] {
            assert!(dir.path().join(file).is_file(), "{file}");
        }
    }
}
