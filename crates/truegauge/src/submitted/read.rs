//! Opens what a path names: a zip of one report or more, a directory, a runtime-metrics.json, or one of the files on standard input.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal, Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use report_reader::bounded_json::Budget;
use report_reader::{Archive, LIMITS, ReadError, ReportFiles, bare_metrics, is_metrics, text};
use rustix::fs::OFlags;
use serde_json::Value;

use super::MAX_REPORTS;
use crate::error::RunError;

/// A report as it was read.
pub(super) struct Found {
    /// What the command line calls it, and where it is in that.
    pub(super) name: String,
    pub(super) metrics: Value,
    /// `None` for a runtime-metrics.json by itself.
    pub(super) members: Option<Value>,
}

/// The reports that a path names; `-` is standard input.
pub(super) fn reports(path: &Path, budget: &mut Budget) -> Result<Vec<Found>> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let mut read = || {
        if is_stdin {
            return from_file(spooled(std::io::stdin().lock())?, &name, budget);
        }
        if path.is_dir() {
            return from_dir(path, budget);
        }
        from_file(opened(path)?, &name, budget)
    };
    read().with_context(|| name.clone())
}

/// Without waiting: opening a named pipe would wait until the pipe has a writer.
fn opened(path: &Path) -> Result<File> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    let other = if kind.is_fifo() {
        "a named pipe (`-` reads from standard input)"
    } else if kind.is_file() {
        return Ok(file);
    } else {
        "not a regular file"
    };
    bail!("it is {other}, and no report")
}

/// Copies a pipe, which cannot be read twice, to a file without a name.
fn spooled(mut input: impl Read) -> Result<File> {
    ensure!(
        !std::io::stdin().is_terminal(),
        "it is a terminal: give it a report, as in `cargo xtask verify-report - < A.zip`"
    );
    let mut file = tempfile::tempfile().context("cannot keep it")?;
    let limit = LIMITS.file_bytes;
    let copied = std::io::copy(&mut input.by_ref().take(limit + 1), &mut file)?;
    ensure!(copied <= limit, "more than {limit} bytes");
    file.flush()?;
    Ok(file)
}

fn from_file(mut file: File, name: &str, budget: &mut Budget) -> Result<Vec<Found>> {
    const START_BYTES: u64 = 512;
    let mut start = Vec::new();
    file.rewind()?;
    (&file).take(START_BYTES).read_to_end(&mut start)?;
    ensure!(!start.is_empty(), "it is empty");
    file.rewind()?;
    if let Some(format) = text::other_format(&start) {
        bail!("this is {format}, not a zip: unpack it, and give the report's zip");
    }
    if text::is_text(&start) || text::begins_as_json(&start) {
        let limit = LIMITS.text_bytes;
        let mut bytes = Vec::new();
        (&file).take(limit as u64 + 1).read_to_end(&mut bytes)?;
        // Otherwise it may be a zip behind text, as a shell script that unpacks itself is.
        if text::is_text(&bytes) {
            ensure!(bytes.len() <= limit, "more than {limit} bytes of text");
            let metrics = bare_metrics(bytes, budget).map_err(RunError::of_submitted_report)?;
            return Ok(vec![Found {
                name: name.to_owned(),
                metrics,
                members: None,
            }]);
        }
        ensure!(
            !text::begins_as_json(&start),
            "this is JSON in an encoding that is neither UTF-8 nor UTF-16: save it in UTF-8, or give the report's zip"
        );
        file.rewind()?;
    }
    from_zip(file, name, budget)
}

/// A zip that holds no report; next to reports in a directory, it may be anything.
#[derive(Debug)]
struct NoReport {
    members: String,
}

impl fmt::Display for NoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = &self.members;
        write!(
            f,
            "there is no report in it, for it has no runtime-metrics.json (it holds {members})"
        )
    }
}

impl std::error::Error for NoReport {}

fn from_zip(file: File, name: &str, budget: &mut Budget) -> Result<Vec<Found>> {
    let mut archive = Archive::open(file, LIMITS).map_err(RunError::of_submitted_report)?;
    if archive.is_empty() {
        let members = match archive.shown_members() {
            none if none.is_empty() => "nothing".to_owned(),
            shown => shown,
        };
        bail!(NoReport { members });
    }
    let mut found = Vec::new();
    for report in 0..archive.len() {
        let inside = archive.name(report).to_owned();
        let files = archive.read(report);
        found.push(if inside.is_empty() {
            judgeable(files, name.to_owned(), budget)?
        } else {
            judgeable(files, format!("{name}/{inside}"), budget).context(inside)?
        });
    }
    Ok(found)
}

fn judgeable(files: Result<ReportFiles, ReadError>, name: String, budget: &mut Budget) -> Result<Found> {
    let evidence = files.and_then(|files| files.into_evidence(budget));
    let (metrics, members) = evidence.map_err(RunError::of_submitted_report)?;
    Ok(Found {
        name,
        metrics,
        members: Some(members),
    })
}

/// A directory is a report if it holds a runtime-metrics.json; otherwise its zips and those of its subdirectories that are reports
/// are judged.
fn from_dir(dir: &Path, budget: &mut Budget) -> Result<Vec<Found>> {
    if is_report_dir(dir)? {
        let files = ReportFiles::read_dir(dir, &LIMITS);
        return Ok(vec![judgeable(files, dir.display().to_string(), budget)?]);
    }
    let mut found = Vec::new();
    let mut no_report = None;
    for path in entries(dir)? {
        let name = path.display().to_string();
        let kind = fs::symlink_metadata(&path)?.file_type();
        let is_zip = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
        if kind.is_file() && is_zip {
            match opened(&path).and_then(|file| from_file(file, &name, budget)) {
                Ok(reports) => found.extend(reports),
                Err(error) if error.is::<NoReport>() => no_report = Some(error.context(name)),
                Err(error) => return Err(error.context(name)),
            }
        } else if kind.is_dir() && is_report_dir(&path)? {
            let files = ReportFiles::read_dir(&path, &LIMITS);
            found.push(judgeable(files, name.clone(), budget).context(name)?);
        }
        ensure!(
            found.len() <= MAX_REPORTS,
            "more than {MAX_REPORTS} reports: judge them in several runs"
        );
    }
    match no_report {
        Some(error) if found.is_empty() => Err(error),
        _ => {
            ensure!(
                !found.is_empty(),
                "it is a directory without a report: it holds neither a runtime-metrics.json nor a zip"
            );
            Ok(found)
        }
    }
}

fn is_report_dir(dir: &Path) -> Result<bool> {
    let paths = entries(dir)?;
    Ok(paths
        .iter()
        .filter_map(|path| path.file_name())
        .any(|name| is_metrics(&name.to_string_lossy())))
}

/// What is in a directory, in order.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    const MAX_ENTRIES: usize = 10_000;
    let entries = fs::read_dir(dir)?
        .take(MAX_ENTRIES + 1)
        .map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>>>()?;
    ensure!(
        paths.len() <= MAX_ENTRIES,
        "more than {MAX_ENTRIES} files in one directory"
    );
    paths.sort();
    Ok(paths)
}
