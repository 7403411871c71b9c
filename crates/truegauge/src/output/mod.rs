//! What people see: steps as they run, and the results in every form that somebody reads them in.

pub(crate) mod files;
mod github;
mod junit;
mod lines;
mod markdown;
pub(crate) mod matrix;
mod page;
pub(crate) mod steps;
pub(crate) mod table;
mod wording;

use std::path::Path;

use anstream::eprintln;
use anstyle::{AnsiColor, Style};
use anyhow::Result;

use crate::results::{Matrix, Results, SOAK_PICTURES, Verdict};

pub(crate) const FAILED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DIMMED: Style = Style::new().dimmed();

/// An error and its causes, on standard error.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("{FAILED}error:{FAILED:#} {error:#}");
}

/// Lines of the log that GitHub's page can fold, until the value is dropped.
pub(crate) fn group(title: &str) -> Option<github::Group> {
    github::Group::begin(title)
}

/// Writes a run's results to its directory in every form, and tells GitHub Actions where this runs there.
pub(crate) fn publish(results: &mut Results, dir: &Path) -> Result<()> {
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
        &page::render(results, picture.as_deref()),
    )?;
    github::tell(results, &summary)
}

/// Tells GitHub Actions alone.
pub(crate) fn tell(results: &Results) -> Result<()> {
    github::tell(results, &markdown::render(results))
}

/// Writes a summary of many runs, and tells GitHub Actions where this runs there.
pub(crate) fn publish_matrix(
    matrix: &Matrix,
    verdict: Verdict,
    sentence: &str,
    runs: &[(String, Results)],
    dir: &Path,
) -> Result<()> {
    let summary = matrix::markdown(matrix, sentence);
    let page = page::matrix::render(matrix, verdict, sentence, runs);
    files::write_text(&dir.join("summary.md"), &summary)?;
    files::write_text(&dir.join("summary.html"), &page)?;
    github::summarise(verdict, &summary)
}
