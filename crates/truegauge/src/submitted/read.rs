//! Opens what a path names: a zip of one report or more, a directory, a runtime-metrics.json, or one of the files on standard input.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use report_reader::bounded_json::Budget;
use report_reader::{Archive, LIMITS, ReadError, ReportFiles, bare_metrics, is_known, is_metrics, text};
use rustix::fs::OFlags;
use serde_json::Value;

use crate::error::RunError;

/// A report as it was read.
pub(super) struct Found {
    /// What the command line calls it, and where it is in that.
    pub(super) name: String,
    pub(super) metrics: Value,
    /// `None` for a runtime-metrics.json by itself.
    pub(super) members: Option<Value>,
}

/// A report, or why what may have been one is not read. The error begins with the name.
pub(super) type Outcome = Result<Found>;

/// The reports that a path names; `-` is standard input. What cannot be read costs the others nothing.
pub(super) fn reports(path: &Path, budget: &mut Budget) -> Vec<Outcome> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let read = if is_stdin {
        spooled(std::io::stdin().lock()).and_then(|file| from_file(file, &name, budget))
    } else if path.is_dir() {
        from_dir(path, budget)
    } else {
        opened(path).and_then(|file| from_file(file, &name, budget))
    };
    read.unwrap_or_else(|error| vec![Err(error.context(name))])
}

/// Without waiting: opening a named pipe would wait until the pipe has a writer.
fn opened(path: &Path) -> Result<File> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    ensure!(kind.is_fifo(), "it is not a regular file, and no report");
    rustix::io::ioctl_fionbio(&file, false)?;
    let file = spooled(file)?;
    ensure!(
        file.metadata()?.len() > 0,
        "it is empty: nobody writes to this pipe yet"
    );
    Ok(file)
}

/// Copies a pipe, which cannot be read twice, to a file without a name.
fn spooled(mut input: impl Read + AsFd) -> Result<File> {
    ensure!(
        !input.as_fd().is_terminal(),
        "it is a terminal: give it a report, as in `truegauge verify-report - < A.zip`"
    );
    let mut file = tempfile::tempfile().context("cannot keep it")?;
    let limit = LIMITS.file_bytes;
    let copied = std::io::copy(&mut input.by_ref().take(limit + 1), &mut file)?;
    ensure!(copied <= limit, "more than {limit} bytes");
    file.flush()?;
    Ok(file)
}

fn from_file(mut file: File, name: &str, budget: &mut Budget) -> Result<Vec<Outcome>> {
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
            let metrics = budget.unless_refused(|budget| bare_metrics(bytes, budget));
            let metrics = metrics.map_err(RunError::of_submitted_report)?;
            return Ok(vec![Ok(Found {
                name: name.to_owned(),
                metrics,
                members: None,
            })]);
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

fn from_zip(file: File, name: &str, budget: &mut Budget) -> Result<Vec<Outcome>> {
    let mut archive = Archive::open(file, LIMITS).map_err(RunError::of_submitted_report)?;
    let unread = archive.unread();
    if archive.is_empty() && unread.is_empty() {
        let members = match archive.shown_members() {
            none if none.is_empty() => "nothing".to_owned(),
            shown => shown,
        };
        bail!(NoReport { members });
    }
    let mut read = Vec::new();
    for report in 0..archive.len() {
        let inside = archive.name(report);
        let name = if inside.is_empty() {
            name.to_owned()
        } else {
            format!("{name}/{inside}")
        };
        read.push(judgeable(archive.read(report), name, budget));
    }
    let unread = unread.into_iter().map(RunError::of_submitted_report);
    read.extend(unread.map(|error| Err(error.context(name.to_owned()))));
    Ok(read)
}

fn judgeable(files: Result<ReportFiles, ReadError>, name: String, budget: &mut Budget) -> Outcome {
    let evidence = |budget: &mut Budget| files.and_then(|files| files.into_evidence(budget));
    match budget.unless_refused(evidence) {
        Ok((metrics, members)) => Ok(Found {
            name,
            metrics,
            members: Some(members),
        }),
        Err(error) => Err(RunError::of_submitted_report(error).context(name)),
    }
}

/// The reports of a directory: itself, if it holds a runtime-metrics.json; and the zips and directories in it.
fn from_dir(dir: &Path, budget: &mut Budget) -> Result<Vec<Outcome>> {
    let mut read = Vec::new();
    let no_report = search(dir, MAX_DEPTH, &mut read, budget)?;
    match no_report {
        Some(error) if read.is_empty() => Err(error),
        _ => {
            ensure!(
                !read.is_empty(),
                "it is a directory without a report: it holds neither a runtime-metrics.json nor a zip"
            );
            Ok(read)
        }
    }
}

/// Levels of directories in a directory that are searched.
const MAX_DEPTH: usize = 2;

/// Reads what may be reports in a directory. A zip without a report may be anything: why it is none is returned.
fn search(
    dir: &Path,
    levels: usize,
    read: &mut Vec<Outcome>,
    budget: &mut Budget,
) -> Result<Option<anyhow::Error>> {
    let paths = entries(dir)?;
    let are = |is: fn(&str) -> bool| {
        let names = paths.iter().filter_map(|path| path.file_name());
        names.filter(|name| is(&name.to_string_lossy())).count()
    };
    // Without metrics, a directory with other files of a report is one whose client wrote none; beside a zip it may be a part.
    if are(is_metrics) > 0 || (are(is_known) > 1 && are(is_zip) == 0) {
        let files = ReportFiles::read_dir(dir, &LIMITS);
        read.push(judgeable(files, dir.display().to_string(), budget));
    }
    let mut no_report = None;
    for path in paths {
        let name = path.display().to_string();
        let outcome = match Entry::of(&path) {
            Ok(Entry::Zip) => opened(&path).and_then(|file| from_file(file, &name, budget)),
            Ok(Entry::Directory) if levels > 0 => match search(&path, levels - 1, read, budget) {
                Ok(none) => {
                    no_report = no_report.or(none);
                    continue;
                }
                Err(error) => Err(error),
            },
            Ok(Entry::Directory | Entry::Other) => continue,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(outcomes) => read.extend(outcomes),
            Err(error) if error.is::<NoReport>() => no_report = Some(error.context(name)),
            Err(error) => read.push(Err(error.context(name))),
        }
    }
    Ok(no_report)
}

fn is_zip(name: &str) -> bool {
    name.to_lowercase().ends_with(".zip")
}

/// What an entry of a directory may hold.
enum Entry {
    Zip,
    Directory,
    /// No business of ours.
    Other,
}

impl Entry {
    /// A link, a pipe or a device that is named as a zip is refused, since there may be a report behind it.
    fn of(path: &Path) -> Result<Self> {
        let kind = fs::symlink_metadata(path)?.file_type();
        let is_zip = is_zip(&path.to_string_lossy());
        if kind.is_dir() {
            return Ok(Self::Directory);
        }
        ensure!(
            !is_zip || kind.is_file(),
            "it is a link or no file, which is not followed in a directory: name it by itself"
        );
        Ok(if is_zip { Self::Zip } else { Self::Other })
    }
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
