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
use crate::reporter::Reporter;
use crate::results::{Matrix, Results, SOAK_PICTURES, Verdict};

pub(crate) const FAILED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DIMMED: Style = Style::new().dimmed();

/// Writes a run's results to its directory in every form, and reports it to GitHub Actions where this runs there.
pub(crate) fn publish(results: &mut Results, dir: &Path, reporter: &dyn Reporter) -> Result<()> {
    const FILES: [&str; 4] = ["report.html", "results.json", "junit.xml", "summary.md"];
    results.find_artifacts(dir, &FILES);
    let results = &*results;
    let picture = SOAK_PICTURES
        .iter()
        .find_map(|path| std::fs::read_to_string(dir.join(path)).ok());
    let summary = markdown::render(results);
    files::write_json(&dir.join("results.json"), results)?;
    files::write_text(&dir.join("junit.xml"), &junit::render(results)?)?;
    files::write_text(&dir.join("summary.md"), &summary)?;
    files::write_text(
        &dir.join("report.html"),
        &html::render(results, picture.as_deref()),
    )?;
    github::emit(results, &summary, reporter)
}

/// Reports a run to GitHub Actions alone.
pub(crate) fn emit(results: &Results, reporter: &dyn Reporter) -> Result<()> {
    github::emit(results, &markdown::render(results), reporter)
}

/// Writes a summary of many runs, and reports it to GitHub Actions where this runs there.
pub(crate) fn publish_matrix(
    matrix: &Matrix,
    verdict: Verdict,
    sentence: &str,
    runs: &[(String, Results)],
    dir: &Path,
) -> Result<()> {
    let summary = matrix::markdown(matrix, sentence);
    let page = html::matrix::render(matrix, verdict, sentence, runs);
    files::write_text(&dir.join("summary.md"), &summary)?;
    files::write_text(&dir.join("summary.html"), &page)?;
    github::summarize(verdict, &summary)
}
