//! Reads a bug report from a zip that anybody may have made: every bound is checked before memory is spent.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::bounded_json::{self, Budget};

/// What a report may hold. Packet captures are large; they are looked through, and not kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of the zip itself.
    pub file_bytes: u64,
    /// How many there may be.
    pub members: usize,
    /// Of one member, uncompressed.
    pub member_bytes: u64,
    /// Of all members, uncompressed.
    pub total_bytes: u64,
    /// Of one member that is text, and so is kept.
    pub text_bytes: usize,
    /// Of all members that are kept.
    pub kept_bytes: usize,
    /// Uncompressed per compressed byte, for members above 1 MiB.
    pub ratio: u64,
}

/// The limits of every report that is judged.
pub const LIMITS: Limits = Limits {
    file_bytes: 64 << 20,
    members: 64,
    member_bytes: 48 << 20,
    total_bytes: 64 << 20,
    text_bytes: 4 << 20,
    kept_bytes: 8 << 20,
    ratio: 200,
};

/// The longest name of a member.
const MAX_NAME_BYTES: usize = 255;

/// The metrics' member.
pub const METRICS: &str = "runtime-metrics.json";

/// A report's members by name.
#[derive(Debug)]
pub struct ReportZip {
    members: BTreeMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    Text(String),
    /// Anything else: what it says, no check reads.
    Binary {
        bytes: usize,
    },
}

/// Why no report can be had from a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the report {}", path.display())]
pub struct OpenError {
    path: PathBuf,
    source: ReadError,
}

/// Why a file is not read as a report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It breaks a limit, or a rule that every honest report keeps.
    #[error("{0}")]
    Refused(String),
    /// It has an end, but the rest does not fit it.
    #[error("not a whole zip")]
    NotAZip(#[source] ZipError),
    /// A member cannot be found or unpacked.
    #[error("member {member} is damaged")]
    Damaged {
        /// Its name, or its number where that is not known.
        member: String,
        /// What the library says.
        source: ZipError,
    },
    /// The file itself cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ReadError {
    fn damaged(member: impl Debug, source: impl Into<ZipError>) -> Self {
        Self::Damaged {
            member: format!("{member:?}"),
            source: source.into(),
        }
    }
}

/// What is wrong with a report that could be read: whoever made it is at fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Faulty(String);

/// Goes on where the condition holds, and else refuses the report in these words.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(ReadError::Refused(format!($($words)+)));
        }
    };
}

impl ReportZip {
    /// Reads the report of that name, within [`LIMITS`].
    ///
    /// # Errors
    ///
    /// When there is no such file, or it is not read as a report.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let read = || Self::read(File::open(path)?, LIMITS);
        read().map_err(|source| OpenError {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads a file that is open already.
    ///
    /// # Errors
    ///
    /// When it is no zip, breaks a limit, or holds what no honest report does.
    pub fn read(mut file: impl Read + Seek, limits: Limits) -> Result<Self, ReadError> {
        let bytes = file.seek(SeekFrom::End(0))?;
        ensure!(
            bytes <= limits.file_bytes,
            "{bytes} bytes, at most {} are read",
            limits.file_bytes
        );
        file.rewind()?;
        let declared = declared_members(&mut file, bytes, limits.members)?;
        file.rewind()?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(ReadError::NotAZip)?;
        // The library keeps the last of several members with one name.
        ensure!(
            archive.len() == declared,
            "{declared} members declared, {} found: are there two of one name?",
            archive.len()
        );
        let mut members = BTreeMap::new();
        let mut left = Left {
            bytes: limits.total_bytes,
            kept: limits.kept_bytes,
        };
        for index in 0..archive.len() {
            let (name, member) = read_member(&mut archive, index, &limits, &mut left)?;
            members.insert(name, member);
        }
        Ok(Self { members })
    }

    /// The evidence's `metrics` and `members` of this report.
    ///
    /// # Errors
    ///
    /// When it has no metrics, or a member is not what its name says, or holds more than the budget pays for.
    pub fn into_evidence(self, budget: &mut Budget) -> Result<(Value, Value), Faulty> {
        let mut metrics = None;
        let mut members = serde_json::Map::new();
        for (name, member) in self.members {
            let entry = match member {
                Member::Binary { .. } if name.ends_with(".json") => {
                    return Err(Faulty(format!("{name} is no text")));
                }
                Member::Binary { bytes } => json!({"bytes": bytes}),
                Member::Text(text) => {
                    let bytes = text.len();
                    match bounded_json::parse(text.as_bytes(), budget) {
                        Ok(value) if name == METRICS => {
                            metrics = Some(value);
                            json!({"bytes": bytes})
                        }
                        Ok(value) => json!({"bytes": bytes, "json": value}),
                        Err(error) if name.ends_with(".json") => {
                            return Err(Faulty(format!("{name} cannot be read as JSON: {error}")));
                        }
                        Err(_) => {
                            let kept = budget.keep(&text);
                            kept.map_err(|error| Faulty(format!("{name} cannot be judged: {error}")))?;
                            json!({"bytes": bytes, "text": text})
                        }
                    }
                }
            };
            members.insert(name, entry);
        }
        let metrics = metrics.ok_or_else(|| Faulty(format!("the report has no {METRICS}")))?;
        Ok((metrics, Value::Object(members)))
    }
}

/// What may still be read.
struct Left {
    bytes: u64,
    kept: usize,
}

fn read_member<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    limits: &Limits,
    left: &mut Left,
) -> Result<(String, Member), ReadError> {
    // By raw index first: an encrypted member cannot be opened, but can be named.
    let raw = archive
        .by_index_raw(index)
        .map_err(|error| ReadError::damaged(index, error))?;
    let name = raw.name_raw();
    ensure!(
        name.len() <= MAX_NAME_BYTES,
        "a member's name has {} bytes",
        name.len()
    );
    let Ok(name) = String::from_utf8(name.to_vec()) else {
        let shown = String::from_utf8_lossy(name);
        return Err(ReadError::Refused(format!(
            "a member's name is not UTF-8: {shown:?}"
        )));
    };
    ensure!(!raw.encrypted(), "member {name:?} is encrypted");
    ensure!(
        raw.is_file() && !raw.is_symlink(),
        "member {name:?} is no file, but a directory or a link"
    );
    check_name(&name)?;
    let (size, compressed) = (raw.size(), raw.compressed_size());
    drop(raw);
    let allowed = limits.member_bytes.min(left.bytes);
    ensure!(
        size <= allowed,
        "member {name:?} has {size} bytes, at most {allowed} are read"
    );
    let ratio = size / compressed.max(1);
    ensure!(
        size <= 1 << 20 || ratio <= limits.ratio,
        "member {name:?} is compressed {ratio} times: a bomb?"
    );
    let file = archive
        .by_index(index)
        .map_err(|error| ReadError::damaged(&name, error))?;
    // The declared size may lie: one byte more than allowed is enough to know.
    let (member, bytes) = look_through(file.take(allowed + 1), limits.text_bytes.min(left.kept))
        .map_err(|error| ReadError::damaged(&name, error))?;
    ensure!(
        bytes as u64 <= allowed,
        "member {name:?} has more bytes than it declares"
    );
    let member = member.ok_or_else(|| {
        ReadError::Refused(format!(
            "member {name:?} is text of {bytes} bytes: too long to be judged"
        ))
    })?;
    left.bytes -= bytes as u64;
    if let Member::Text(text) = &member {
        left.kept -= text.len();
    }
    Ok((name, member))
}

/// Reads to the end, and keeps what is text; `None` where that is more than may be kept. Also returns the size.
fn look_through(mut file: impl Read, most_kept: usize) -> io::Result<(Option<Member>, usize)> {
    let (mut kept, mut bytes, mut is_text) = (Vec::new(), 0, true);
    // So far it is known to be text.
    let mut known = 0;
    let mut chunk = [0; 16 << 10];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        bytes += read;
        if !is_text {
            continue;
        }
        if kept.len() <= most_kept {
            kept.extend_from_slice(&chunk[..read]);
        }
        match std::str::from_utf8(&kept[known..]) {
            Ok(_) => known = kept.len(),
            // A character is cut at the end of the chunk; what follows completes it.
            Err(error) if error.error_len().is_none() => known += error.valid_up_to(),
            Err(_) => (is_text, kept) = (false, Vec::new()),
        }
    }
    let member = match String::from_utf8(kept) {
        Ok(_) if is_text && bytes > most_kept => None,
        Ok(text) if is_text => Some(Member::Text(text)),
        _ => Some(Member::Binary { bytes }),
    };
    Ok((member, bytes))
}

/// How many members the zip declares to have. Its end record (APPNOTE 4.3.16) counts in 16 bits, which bounds what a
/// library can be made to read before it says how long the directory is; zip64 lifts that bound, and no report needs it.
/// The record that counts ends with the file, its comment included; but as a library may take another one, none may
/// declare too many.
fn declared_members(file: &mut impl Read, file_bytes: u64, most: usize) -> Result<usize, ReadError> {
    const END: &[u8] = b"PK\x05\x06";
    const END_BYTES: usize = 22;
    const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";
    const LOCATOR_BYTES: usize = 20;
    const KEPT: usize = LOCATOR_BYTES + END_BYTES;
    let mut declared = None;
    let mut read_so_far = 0;
    let mut window = Vec::new();
    let mut chunk = vec![0; 256 << 10];
    // Of the window's bytes, those up to here have been searched.
    let mut searched = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        window.extend_from_slice(&chunk[..read]);
        read_so_far += read as u64;
        for at in memchr::memmem::find_iter(&window[searched..], END) {
            let at = searched + at;
            let Some(record) = window.get(at..at + END_BYTES) else {
                continue;
            };
            let locator = at
                .checked_sub(LOCATOR_BYTES)
                .map(|start| &window[start..start + ZIP64_LOCATOR.len()]);
            ensure!(
                locator != Some(ZIP64_LOCATOR),
                "a zip64 archive: no report is that large"
            );
            let members = usize::from(u16::from_le_bytes([record[10], record[11]]));
            ensure!(members <= most, "{members} members, at most {most} are read");
            let comment = usize::from(u16::from_le_bytes([record[20], record[21]]));
            let rest = file_bytes.saturating_sub(read_so_far) as usize + window.len() - at - END_BYTES;
            if comment == rest {
                declared = Some(members);
            }
        }
        // A record that is cut at the end is searched for again, with what stood before it.
        let kept = window.len().min(KEPT);
        window.drain(..window.len() - kept);
        searched = kept.saturating_sub(END_BYTES - 1);
    }
    declared
        .ok_or_else(|| ReadError::Refused("not a whole zip: there is no end record at its end".to_owned()))
}

/// Names are only shown and compared, never used as paths; still, one that tries to be more is hostile.
fn check_name(name: &str) -> Result<(), ReadError> {
    let plain = !name.starts_with('/')
        && !name.contains(['\\', '\0', ':'])
        && !name.chars().any(char::is_control)
        && name
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
    ensure!(plain, "a member's name would lead astray: {name:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    const SMALL: Limits = Limits {
        file_bytes: 8 << 20,
        members: 4,
        member_bytes: 3 << 20,
        total_bytes: 4 << 20,
        text_bytes: 1 << 20,
        kept_bytes: 3 << 19,
        ratio: 200,
    };

    fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in members {
            zip.start_file(*name, SimpleFileOptions::default())
                .expect("a member");
            zip.write_all(content).expect("written");
        }
        zip.finish().expect("a zip").into_inner()
    }

    /// What is wrong, and why.
    fn refusal(bytes: &[u8]) -> String {
        let error = ReportZip::read(Cursor::new(bytes), SMALL).expect_err("refused");
        let source = std::error::Error::source(&error);
        source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    }

    /// Overwrites every occurrence of `from`, as an attacker would after zipping.
    fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
        let found: Vec<usize> = memchr::memmem::find_iter(&bytes, from).collect();
        assert!(!found.is_empty() && from.len() == to.len());
        for at in found {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        bytes
    }

    #[test]
    fn a_good_report_is_read_whole() {
        let zip = zipped(&[
            (METRICS, br#"{"platform":"linux"}"#),
            ("metadata.json", br#"{"pid":1}"#),
            ("notes.txt", b"text"),
            ("screenshot.png", b"\x89PNG\xff"),
        ]);
        let (metrics, members) = ReportZip::read(Cursor::new(&zip), SMALL)
            .expect("good")
            .into_evidence(&mut Budget::default())
            .expect("good");
        assert_eq!(metrics, json!({"platform": "linux"}));
        assert_eq!(
            members,
            json!({
                METRICS: {"bytes": 20},
                "metadata.json": {"bytes": 9, "json": {"pid": 1}},
                "notes.txt": {"bytes": 4, "text": "text"},
                "screenshot.png": {"bytes": 5},
            })
        );
    }

    #[test]
    fn what_is_no_zip_or_too_much_of_one_is_refused() {
        let good = zipped(&[(METRICS, b"{}")]);
        let big = vec![b'x'; 3 << 20];
        let noise: Vec<u8> = (0..3_u32 << 20)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let locator = [b"PK\x06\x07".as_slice(), &[0; 16], &good[good.len() - 22..]].concat();
        for (bytes, reason) in [
            (vec![], "there is no end record"),
            (b"PK".to_vec(), "there is no end record"),
            (good[..good.len() - 30].to_vec(), "there is no end record"),
            (good[20..].to_vec(), "not a whole zip"),
            ([&good[..], b"more"].concat(), "there is no end record at its end"),
            (locator, "zip64"),
            (
                zipped(&[("1", b""), ("2", b""), ("3", b""), ("4", b""), ("5", b"")]),
                "5 members",
            ),
            (
                patched(zipped(&[("aa", b"1"), ("ab", b"2")]), b"aa", b"ab"),
                "two of one name",
            ),
            (zipped(&[("bomb", &big)]), "a bomb"),
            (zipped(&[("one", &noise), ("two", &noise)]), "at most"),
            (
                patched(zipped(&[("ok/ok", b"")]), b"ok/ok", b"../ok"),
                "lead astray",
            ),
            (patched(zipped(&[("abs", b"")]), b"abs", b"/bs"), "lead astray"),
            (patched(zipped(&[("dos", b"")]), b"dos", b"d\\s"), "lead astray"),
            (
                patched(zipped(&[("utf8", b"")]), b"utf8", b"ut\xff\xfe"),
                "not UTF-8",
            ),
            (zipped(&[("dir/", b"")]), "no file"),
        ] {
            let error = refusal(&bytes);
            assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
        }
    }

    #[test]
    fn text_is_kept_within_bounds_and_the_rest_looked_through() {
        let text = |bytes: usize| "ü".repeat(bytes / 2).into_bytes();
        let mut capture = vec![0xff; 2 << 20];
        capture[..4].copy_from_slice(b"\xd4\xc3\xb2\xa1");
        let stored = |members: &[(&str, &[u8])]| {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
            for (name, content) in members {
                zip.start_file(*name, options).expect("a member");
                zip.write_all(content).expect("written");
            }
            zip.finish().expect("a zip").into_inner()
        };
        let fits = stored(&[
            (METRICS, b"{}"),
            ("traffic.pcap", &capture),
            ("notes.txt", &text(100_000)),
        ]);
        let (_, members) = ReportZip::read(Cursor::new(fits), SMALL)
            .expect("read")
            .into_evidence(&mut Budget::default())
            .expect("good");
        assert_eq!(members["traffic.pcap"], json!({"bytes": 2 << 20}));
        assert_eq!(members["notes.txt"]["text"].as_str().map(str::len), Some(100_000));
        for members in [
            &[("long.txt", text((1 << 20) + 2).as_slice())][..],
            &[("one.txt", &text(1 << 20)), ("two.txt", &text(1 << 20))],
        ] {
            let error = refusal(&stored(members));
            assert!(error.contains("too long to be judged"), "{error}");
        }
    }

    #[test]
    fn only_the_end_record_at_the_end_counts() {
        let inner = zipped(&[("1", b""), ("2", b""), ("3", b"")]);
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file("inner.zip", options).expect("a member");
        zip.write_all(&inner).expect("written");
        let bytes = zip.finish().expect("a zip").into_inner();
        assert!(ReportZip::read(Cursor::new(&bytes), SMALL).is_ok());
        for cut in 1..22 {
            assert!(
                ReportZip::read(Cursor::new(&bytes[..bytes.len() - cut]), SMALL).is_err(),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_member_that_lies_about_its_size_or_content_is_refused() {
        let content = vec![b'y'; 5000];
        let zip = zipped(&[("liar", &content)]);
        let lie = patched(zip.clone(), &5000_u32.to_le_bytes(), &50_u32.to_le_bytes());
        assert!(ReportZip::read(Cursor::new(&lie), SMALL).is_err());
        let mut torn = zip;
        torn[40] ^= 0xff;
        assert!(refusal(&torn).contains("damaged"), "{}", refusal(&torn));
    }

    #[test]
    fn members_that_are_no_json_are_named() {
        for (members, reason) in [
            (
                vec![(METRICS, b"{".as_slice())],
                "runtime-metrics.json cannot be read as JSON",
            ),
            (
                vec![("metadata.json", b"{}".as_slice())],
                "has no runtime-metrics.json",
            ),
            (
                vec![(METRICS, b"{}".as_slice()), ("session.json", b"nope")],
                "session.json cannot be read as JSON",
            ),
        ] {
            let report = ReportZip::read(Cursor::new(zipped(&members)), SMALL).expect("a zip");
            let error = report.into_evidence(&mut Budget::default()).expect_err(reason);
            let error = error.to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn json_as_deep_as_the_sky_is_refused_not_followed() {
        let deep = "[".repeat(100_000);
        let report =
            ReportZip::read(Cursor::new(zipped(&[(METRICS, deep.as_bytes())])), SMALL).expect("a zip");
        let error = report.into_evidence(&mut Budget::default()).expect_err("deep");
        let error = error.to_string();
        assert!(error.contains("recursion limit"), "{error}");
    }
}
