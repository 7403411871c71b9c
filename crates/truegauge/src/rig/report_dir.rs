//! The directory in which a client's reports appear.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use report_reader::ReportFiles;

use super::events::Events;
use crate::error::RunError;
use crate::observe::monotonic_ns;
use crate::profile::{self, Whole};

/// How often it is looked at. A report's appearance is known as exactly as this.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How long a zip that is written in place may take to become whole.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A directory of reports.
pub(crate) struct ReportDir {
    path: PathBuf,
}

/// A zip that one trigger brought.
#[derive(Debug)]
pub(crate) struct FiledReport {
    pub(crate) path: PathBuf,
    pub(crate) triggered_ns: u64,
    pub(crate) appeared_ns: u64,
}

impl ReportDir {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The zips whose names are of a pattern.
    pub(super) fn zips(&self, names: &str) -> Result<BTreeSet<PathBuf>> {
        let dir = &self.path;
        let entries = std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
        let mut zips = BTreeSet::new();
        for entry in entries {
            let entry = entry?;
            if profile::matches(names, &entry.file_name().to_string_lossy()) {
                zips.insert(entry.path());
            }
        }
        Ok(zips)
    }

    /// Waits for one new zip, until it is whole.
    pub(super) fn await_new(
        &self,
        names: &str,
        before: &BTreeSet<PathBuf>,
        whole: Whole,
        triggered_ns: u64,
        limit: Duration,
        events: &mut Events,
    ) -> Result<FiledReport> {
        let deadline = Instant::now() + limit;
        let path = loop {
            let mut new = self.zips(names)?.into_iter().filter(|zip| !before.contains(zip));
            if let Some(path) = new.next() {
                break path;
            }
            if Instant::now() > deadline {
                return Err(RunError::Client(format!(
                    "the client filed no report within {limit:?} of its trigger: no {names} appeared in {}",
                    self.path.display()
                ))
                .into());
            }
            events.sleep(POLL_INTERVAL)?;
        };
        let appeared_ns = monotonic_ns();
        if whole == Whole::InPlace {
            await_whole(&path, events)?;
        }
        only_one(self.zips(names)?.iter().filter(|zip| !before.contains(*zip)))?;
        Ok(FiledReport {
            path,
            triggered_ns,
            appeared_ns,
        })
    }
}

/// One trigger brings one report.
fn only_one<'a>(mut zips: impl Iterator<Item = &'a PathBuf>) -> Result<(), RunError> {
    match (zips.next(), zips.next()) {
        (Some(one), Some(other)) => Err(RunError::Client(format!(
            "one trigger must bring one zip: both {} and {} appeared",
            one.display(),
            other.display()
        ))),
        _ => Ok(()),
    }
}

/// The directory of a zip is written last, so one that can be read is whole.
fn await_whole(path: &Path, events: &mut Events) -> Result<()> {
    let deadline = Instant::now() + WRITE_TIMEOUT;
    loop {
        match ReportFiles::open(path) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                let error = anyhow::Error::from(error);
                return Err(RunError::Client(format!("a report that never became whole: {error:#}")).into());
            }
            Err(_) => events.sleep(POLL_INTERVAL)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zipped() -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("runtime-metrics.json", SimpleFileOptions::default())
            .expect("a member");
        zip.write_all(b"{}").expect("written");
        zip.finish().expect("a zip").into_inner()
    }

    #[test]
    fn a_zip_that_is_written_in_place_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = ReportDir::new(dir.path());
        let mut events = Events::silent().expect("a queue");
        std::fs::write(dir.path().join("x-old.zip"), "").expect("written");
        std::fs::write(dir.path().join("other.zip"), "").expect("written");
        let before = folder.zips("x-*.zip").expect("listed");
        assert_eq!(before.len(), 1);

        let new = dir.path().join("x-new.zip");
        let bytes = zipped();
        let (half, rest) = bytes.split_at(bytes.len() / 2);
        std::fs::write(&new, half).expect("written");
        let writer = std::thread::spawn({
            let (new, rest) = (new.clone(), rest.to_owned());
            move || {
                let mut file = std::fs::OpenOptions::new().append(true).open(new).expect("open");
                file.write_all(&rest).expect("written");
            }
        });
        let limit = Duration::from_secs(20);
        let filed = folder
            .await_new("x-*.zip", &before, Whole::InPlace, 0, limit, &mut events)
            .expect("a report");
        writer.join().expect("done");
        assert_eq!(filed.path, new);
        assert!(ReportFiles::open(&filed.path).is_ok());

        std::fs::write(dir.path().join("x-second.zip"), "").expect("written");
        let error = folder
            .await_new("x-*.zip", &before, Whole::Renamed, 0, limit, &mut events)
            .expect_err("two");
        assert!(
            error.to_string().contains("one trigger must bring one zip"),
            "{error}"
        );
    }

    #[test]
    fn a_report_that_does_not_come_is_the_clients_fault() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut events = Events::silent().expect("a queue");
        let none = BTreeSet::new();
        let error = ReportDir::new(dir.path())
            .await_new("x-*.zip", &none, Whole::Renamed, 0, Duration::ZERO, &mut events)
            .expect_err("nothing comes");
        assert!(
            matches!(error.downcast_ref(), Some(RunError::Client(_))),
            "{error}"
        );
        assert!(error.to_string().contains("no x-*.zip appeared"), "{error}");
    }
}
