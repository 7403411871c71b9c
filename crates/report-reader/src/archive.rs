//! Finds the reports in a zip: at its top, in its folders, and in the zips inside it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::{CompressionMethod, ZipArchive};

use crate::error::{ensure, quoted};
use crate::report::{Left, scan};
use crate::{Limits, ReadError, ReportFiles, end_record, is_metrics, names};

/// A zip, and the reports found in it.
pub struct Archive<R> {
    outer: Zip<R>,
    /// The zips inside that hold reports, unpacked to files without names. Each is opened again to be read: 50 directories at once
    /// would take too much memory.
    nested: Vec<File>,
    reports: Vec<Place>,
    limits: Limits,
    /// Bytes that may still be read from the zip, and from the zips inside it.
    left: [u64; 2],
    /// Members that the zips inside may still have.
    members_left: usize,
    /// Why zips inside it are not read.
    unread: Vec<ReadError>,
}

/// A report in a zip.
struct Place {
    /// The number of the zip inside; `None` for the zip itself.
    nested: Option<usize>,
    /// Its folder, in lower case.
    folder: String,
    /// Where it is, for people; empty if it is the whole zip.
    name: String,
}

impl Place {
    /// `shown_folder` is the folder as it is written; it and `zip_path`, the path of a zip inside, may be empty.
    fn new(nested: Option<usize>, zip_path: &str, folder: &str, shown_folder: &str) -> Self {
        let parts = [zip_path, shown_folder.trim_end_matches('/')];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Self {
            nested,
            folder: folder.to_owned(),
            name: parts.join("/"),
        }
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Finds the reports of a zip. Their members are read by [`Archive::read`].
    ///
    /// # Errors
    /// If the file is not a zip, breaks a limit, or holds names that no report has. A zip inside it that cannot be read costs the
    /// others nothing (see [`Archive::unread`]); those behind one that exceeds what they may hold together are not looked at.
    pub fn open(file: R, limits: Limits) -> Result<Self, ReadError> {
        let outer = Zip::open(file, &limits)?;
        let mut archive = Self {
            reports: outer.places(None, ""),
            outer,
            nested: Vec::new(),
            limits,
            left: [limits.total_bytes; 2],
            members_left: limits.nested_members,
            unread: Vec::new(),
        };
        for (path, index) in archive.outer.zips() {
            // A zip beside a report's files may be the client's own, and anything.
            let is_members = archive.is_in_a_report(&path);
            let is_last = archive.left[0] == 0 || archive.members_left == 0;
            if let Err(source) = archive.open_nested(&path, index)
                && !is_members
            {
                archive.unread.push(ReadError::Nested {
                    zip: quoted(&path),
                    source: Box::new(source),
                });
                if is_last {
                    break;
                }
            }
            archive.bound_reports()?;
        }
        let without_metrics = archive.outer.places_without_metrics(None, "");
        if archive.reports.is_empty() {
            archive.reports = without_metrics;
        } else {
            let is_one = |place: &Place| {
                let holds_zips = archive
                    .outer
                    .zips()
                    .iter()
                    .any(|(path, _)| names::folder(path).to_lowercase() == place.folder);
                !place.folder.is_empty() && !holds_zips && !archive.is_in_a_report(&place.folder)
            };
            let others: Vec<Place> = without_metrics.into_iter().filter(is_one).collect();
            archive.reports.extend(others);
        }
        archive.bound_reports()?;
        Ok(archive)
    }

    /// Whether a path is in the folder of a report of the zip itself.
    fn is_in_a_report(&self, path: &str) -> bool {
        let path = path.to_lowercase();
        let mut outer = self.reports.iter().filter(|place| place.nested.is_none());
        outer.any(|place| path.starts_with(&place.folder))
    }

    fn bound_reports(&self) -> Result<(), ReadError> {
        let (found, most) = (self.reports.len(), self.limits.reports);
        ensure!(
            found <= most,
            "{found} reports in one zip, at most {most} are judged at once"
        );
        Ok(())
    }

    fn open_nested(&mut self, path: &str, index: usize) -> Result<(), ReadError> {
        let mut file = tempfile::tempfile()?;
        let (member, allowed) = self.outer.unpacked(index, path, &self.limits, self.left[0])?;
        let mut member = member.take(allowed + 1);
        let copied = io::copy(&mut member, &mut file);
        // What was read is paid for, whatever becomes of it: many damaged zips must not take more than one that is whole.
        let read = allowed + 1 - member.limit();
        self.left[0] = self.left[0].saturating_sub(read);
        copied.map_err(|error| ReadError::damaged(path, error))?;
        ensure!(read <= allowed, "it has more bytes than it declares");
        let zip = Zip::open(&file, &self.limits)?;
        let (members, most) = (zip.archive.len(), self.limits.nested_members);
        let is_over = members > self.members_left;
        self.members_left = self.members_left.saturating_sub(members);
        ensure!(!is_over, "more than {most} members in the zips inside");
        let nested = Some(self.nested.len());
        let mut places = zip.places(nested, path);
        if places.is_empty() {
            places = zip.places_without_metrics(nested, path);
        }
        ensure!(
            !places.is_empty() || zip.zips().is_empty(),
            "there are zips in this zip in a zip, which are not opened: unzip it"
        );
        if !places.is_empty() {
            self.reports.extend(places);
            self.nested.push(file);
        }
        Ok(())
    }

    /// The number of reports found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reports.len()
    }

    /// True if the zip holds no report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// Why zips inside it are not read, taken from the archive.
    pub fn unread(&mut self) -> Vec<ReadError> {
        std::mem::take(&mut self.unread)
    }

    /// Where a report is in the zip: `idle`, `mail/idle.zip`; empty if the zip itself is the report.
    #[must_use]
    pub fn name(&self, report: usize) -> &str {
        &self.reports[report].name
    }

    /// The first members of the zip, for the message that it holds no report.
    #[must_use]
    pub fn shown_members(&self) -> String {
        const SHOWN: usize = 3;
        let mut shown: Vec<String> = self
            .outer
            .members
            .values()
            .map(|(path, _)| quoted(path))
            .collect();
        if shown.len() > SHOWN {
            shown.truncate(SHOWN);
            shown.push("…".to_owned());
        }
        shown.join(", ")
    }

    /// Reads a report's members.
    ///
    /// # Errors
    /// If a member is damaged, breaks a limit, or is not a file.
    pub fn read(&mut self, report: usize) -> Result<ReportFiles, ReadError> {
        let Place { nested, folder, .. } = &self.reports[report];
        let [left, left_of_nested] = &mut self.left;
        match nested {
            None => self.outer.read(folder, &self.limits, left),
            Some(nested) => {
                let mut zip = Zip::open(&self.nested[*nested], &self.limits)?;
                zip.read(folder, &self.limits, left_of_nested)
            }
        }
    }

    /// Reads the members at the top as those of a report, whatever they are.
    pub(crate) fn read_top(&mut self) -> Result<ReportFiles, ReadError> {
        self.outer.read("", &self.limits, &mut self.left[0])
    }
}

/// One zip: what is in it.
struct Zip<R> {
    archive: ZipArchive<BufReader<Metered<R>>>,
    /// The members' paths and numbers, by the paths in lower case.
    members: BTreeMap<String, (String, usize)>,
}

impl<R: Read + Seek> Zip<R> {
    fn open(mut file: R, limits: &Limits) -> Result<Self, ReadError> {
        let bytes = file.seek(SeekFrom::End(0))?;
        let most = limits.file_bytes;
        ensure!(bytes <= most, "{bytes} bytes, at most {most} are read");
        file.rewind()?;
        let mut start = Vec::new();
        file.by_ref().take(4).read_to_end(&mut start)?;
        end_record::check(&mut file, &start, limits.members)?;
        file.rewind()?;
        let meter = Rc::new(Cell::new(limits.directory_bytes));
        let metered = Metered {
            file,
            left: Rc::clone(&meter),
        };
        let archive = ZipArchive::new(BufReader::new(metered));
        let most = limits.directory_bytes;
        ensure!(
            meter.replace(u64::MAX) > 0,
            "to find its members, more than {most} bytes would have to be read"
        );
        let archive = archive.map_err(ReadError::NotAZip)?;
        ensure!(
            archive.offset() == 0 || !end_record::begins_as_zip(&start),
            "not a whole zip: its end is that of a zip inside it; was the download cut off?"
        );
        // The library keeps the last of several members with one name.
        ensure!(!archive.has_duplicate_names(), "two members have one name");
        let mut members = BTreeMap::new();
        for index in 0..archive.len() {
            let entry = archive
                .by_index_data(index)
                .map_err(|error| ReadError::damaged(&index.to_string(), error))?;
            let name = entry
                .name()
                .unwrap_or_else(|_| String::from_utf8_lossy(entry.name_raw()));
            let Some(path) = names::normalized(&name)?.filter(|_| !entry.is_dir()) else {
                continue;
            };
            if let Some((other, _)) = members.insert(path.to_lowercase(), (path.clone(), index)) {
                let (one, other) = (quoted(&path), quoted(&other));
                return Err(ReadError::Refused(format!(
                    "two members have one name: {one} and {other}"
                )));
            }
        }
        Ok(Self { archive, members })
    }

    /// Every folder that holds a runtime-metrics.json is a report.
    fn places(&self, nested: Option<usize>, zip_path: &str) -> Vec<Place> {
        let metrics = self.members.iter().filter(|(key, _)| is_metrics(key));
        metrics
            .map(|(key, (path, _))| Place::new(nested, zip_path, names::folder(key), names::folder(path)))
            .collect()
    }

    /// A folder with two files of a report is one whose client wrote no metrics.
    fn places_without_metrics(&self, nested: Option<usize>, zip_path: &str) -> Vec<Place> {
        let mut known: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for (key, (path, _)) in self.members.iter().filter(|(key, _)| names::is_known(key)) {
            let found = known
                .entry(names::folder(key))
                .or_insert((0, names::folder(path)));
            found.0 += 1;
        }
        let reports = known.into_iter().filter(|(_, (files, _))| *files > 1);
        reports
            .map(|(folder, (_, shown))| Place::new(nested, zip_path, folder, shown))
            .collect()
    }

    /// The zips in it, by path and number.
    fn zips(&self) -> Vec<(String, usize)> {
        let zips = self.members.iter().filter(|(key, _)| key.ends_with(".zip"));
        zips.map(|(_, member)| member.clone()).collect()
    }

    /// Reads the members of a folder, without those of reports deeper in it.
    fn read(&mut self, folder: &str, limits: &Limits, left: &mut u64) -> Result<ReportFiles, ReadError> {
        let deeper: Vec<String> = self
            .places(None, "")
            .into_iter()
            .map(|place| place.folder)
            .filter(|other| other.len() > folder.len())
            .collect();
        let of_report: Vec<(String, usize)> = self
            .members
            .iter()
            .filter(|(key, _)| key.starts_with(folder) && !deeper.iter().any(|other| key.starts_with(other)))
            .map(|(_, member)| member.clone())
            .collect();
        let mut files = ReportFiles::default();
        let mut kept = limits.kept_bytes;
        let depth = folder.matches('/').count();
        for (path, index) in of_report {
            let name = path.splitn(depth + 1, '/').last().unwrap_or(&path);
            let name = names::canonical(name);
            let (member, allowed) = self.unpacked(index, &path, limits, *left)?;
            let mut room = Left {
                bytes: allowed,
                kept: limits.text_bytes.min(kept),
            };
            let content = scan(member, name, &path, &mut room);
            *left -= allowed - room.bytes;
            let content = content?;
            kept -= content.text.as_ref().map_or(0, String::len).min(kept);
            files.insert(name, content);
        }
        Ok(files)
    }

    /// Checks what the directory says of a member, and starts to unpack it. Also returns the most bytes that it may have.
    fn unpacked(
        &mut self,
        index: usize,
        path: &str,
        limits: &Limits,
        left: u64,
    ) -> Result<(impl Read, u64), ReadError> {
        let damaged = |error| ReadError::damaged(path, error);
        let entry = self.archive.by_index_data(index).map_err(damaged)?;
        let shown = quoted(path);
        ensure!(!entry.encrypted(), "member {shown} is encrypted");
        ensure!(entry.is_file(), "member {shown} is a link, not a file");
        let method = entry.compression();
        ensure!(
            matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated),
            "member {shown} is compressed with {method}, which is not read: zip it again with Deflate"
        );
        let (size, compressed) = (entry.size(), entry.compressed_size());
        let allowed = limits.member_bytes.min(left);
        ensure!(
            size <= allowed,
            "member {shown} has {size} bytes, at most {allowed} are read"
        );
        let ratio = size / compressed.max(1);
        ensure!(
            size <= 1 << 20 || ratio <= limits.ratio,
            "member {shown} is compressed {ratio} times: a bomb?"
        );
        let file = self.archive.by_index(index).map_err(damaged)?;
        Ok((file, allowed))
    }
}

/// Ends what is read from a file after so many bytes: the library keeps a zip's whole directory in memory.
struct Metered<R> {
    file: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let left = self.left.get().saturating_sub(read as u64);
        self.left.set(left);
        if left == 0 {
            Err(io::Error::other("more is not read"))
        } else {
            Ok(read)
        }
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}
