//! Reads a bug report from a zip that anybody may have made: every bound is checked before memory is spent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use zip::ZipArchive;

/// What a report may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) file_bytes: u64,
    pub(crate) members: usize,
    pub(crate) member_bytes: u64,
    pub(crate) total_bytes: u64,
    /// Uncompressed per compressed byte, for members above 1 MiB.
    pub(crate) ratio: u64,
}

pub(crate) const LIMITS: Limits = Limits {
    file_bytes: 32 << 20,
    members: 64,
    member_bytes: 16 << 20,
    total_bytes: 48 << 20,
    ratio: 200,
};

/// The metrics' member.
pub(crate) const METRICS: &str = "runtime-metrics.json";

/// A report's members by name, whole.
#[derive(Debug)]
pub(crate) struct ReportZip {
    members: BTreeMap<String, Vec<u8>>,
}

impl ReportZip {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let mut file = File::open(path)?;
            let meta = file.metadata()?;
            ensure!(meta.is_file(), "not a regular file");
            ensure!(
                meta.len() <= LIMITS.file_bytes,
                "{} bytes, at most {} are read",
                meta.len(),
                LIMITS.file_bytes
            );
            let mut bytes = Vec::new();
            Read::by_ref(&mut file)
                .take(LIMITS.file_bytes)
                .read_to_end(&mut bytes)?;
            Self::parse(&bytes, LIMITS)
        };
        read().with_context(|| format!("cannot read the report {}", path.display()))
    }

    pub(crate) fn parse(bytes: &[u8], limits: Limits) -> Result<Self> {
        let declared = declared_members(bytes)?;
        ensure!(
            declared <= limits.members,
            "{declared} members, at most {} are read",
            limits.members
        );
        let mut archive = ZipArchive::new(Cursor::new(bytes)).context("not a whole zip")?;
        // The library keeps the last of several members with one name.
        ensure!(
            archive.len() == declared,
            "{declared} members declared, {} found: are there two of one name?",
            archive.len()
        );
        let mut members = BTreeMap::new();
        let mut left = limits.total_bytes;
        for index in 0..archive.len() {
            // By raw index first: an encrypted member cannot be opened, but can be named.
            let raw = archive
                .by_index_raw(index)
                .with_context(|| format!("member {index} is damaged"))?;
            let name = String::from_utf8(raw.name_raw().to_vec()).map_err(|_| {
                anyhow!(
                    "a member's name is not UTF-8: {:?}",
                    String::from_utf8_lossy(raw.name_raw())
                )
            })?;
            ensure!(!raw.encrypted(), "member {name:?} is encrypted");
            ensure!(raw.is_file() && !raw.is_symlink(), "member {name:?} is no file");
            check_name(&name)?;
            let (size, compressed) = (raw.size(), raw.compressed_size());
            drop(raw);
            let allowed = limits.member_bytes.min(left);
            ensure!(
                size <= allowed,
                "member {name:?} has {size} bytes, at most {allowed} are read"
            );
            let ratio = size / compressed.max(1);
            ensure!(
                size <= 1 << 20 || ratio <= limits.ratio,
                "member {name:?} is compressed {ratio} times: a bomb?"
            );
            let member = archive
                .by_index(index)
                .with_context(|| format!("member {name:?} is damaged"))?;
            let mut content = Vec::new();
            // The declared size may lie: one byte more than allowed is enough to know.
            let read = member.take(allowed + 1).read_to_end(&mut content);
            read.with_context(|| format!("member {name:?} is damaged"))?;
            ensure!(
                content.len() as u64 <= allowed,
                "member {name:?} has more bytes than it declares"
            );
            left -= content.len() as u64;
            members.insert(name, content);
        }
        Ok(Self { members })
    }

    /// The evidence's `metrics` and `members` of this report.
    pub(crate) fn into_evidence(self) -> Result<(Value, Value)> {
        let mut metrics = None;
        let mut members = serde_json::Map::new();
        for (name, content) in self.members {
            let bytes = content.len();
            let member = if name == METRICS {
                let parsed =
                    serde_json::from_slice(&content).with_context(|| format!("{METRICS} is not JSON"))?;
                metrics = Some(parsed);
                json!({"bytes": bytes})
            } else {
                match (
                    serde_json::from_slice::<Value>(&content),
                    String::from_utf8(content),
                ) {
                    (Ok(json), _) => json!({"bytes": bytes, "json": json}),
                    (Err(error), Ok(_)) if name.ends_with(".json") => bail!("{name} is not JSON: {error}"),
                    (Err(_), Ok(text)) => json!({"bytes": bytes, "text": text}),
                    (Err(_), Err(_)) => json!({"bytes": bytes}),
                }
            };
            members.insert(name, member);
        }
        Ok((
            metrics.with_context(|| format!("the report has no {METRICS}"))?,
            Value::Object(members),
        ))
    }
}

/// How many members the zip declares to have. Its end record (APPNOTE 4.3.16) counts in 16 bits, which bounds what a
/// library can be made to read before it says how long the directory is; zip64 lifts that bound, and no report needs it.
fn declared_members(bytes: &[u8]) -> Result<usize> {
    const END: &[u8] = b"PK\x05\x06";
    const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";
    let mut declared = None;
    for at in memchr::memmem::find_iter(bytes, END) {
        let locator = at
            .checked_sub(20)
            .and_then(|at| bytes.get(at..at + ZIP64_LOCATOR.len()));
        ensure!(
            locator != Some(ZIP64_LOCATOR),
            "a zip64 archive: no report is that large"
        );
        if let Some(record) = bytes.get(at..at + 22) {
            declared = Some(usize::from(u16::from_le_bytes([record[10], record[11]])));
        }
    }
    declared.context("not a whole zip: it has no end record")
}

/// Names are only shown and compared, never used as paths; still, one that tries to be more is hostile.
fn check_name(name: &str) -> Result<()> {
    ensure!(name.len() <= 255, "a member's name has {} bytes", name.len());
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
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    const SMALL: Limits = Limits {
        file_bytes: 1 << 20,
        members: 4,
        member_bytes: 3 << 20,
        total_bytes: 4 << 20,
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

    fn refusal(bytes: &[u8]) -> String {
        format!("{:#}", ReportZip::parse(bytes, SMALL).expect_err("refused"))
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
        let (metrics, members) = ReportZip::parse(&zip, SMALL)
            .expect("good")
            .into_evidence()
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
            (vec![], "no end record"),
            (b"PK".to_vec(), "no end record"),
            (good[..good.len() - 30].to_vec(), "no end record"),
            (good[20..].to_vec(), "not a whole zip"),
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
    fn a_member_that_lies_about_its_size_or_content_is_refused() {
        let content = vec![b'y'; 5000];
        let zip = zipped(&[("liar", &content)]);
        let lie = patched(zip.clone(), &5000_u32.to_le_bytes(), &50_u32.to_le_bytes());
        assert!(ReportZip::parse(&lie, SMALL).is_err());
        let mut torn = zip;
        torn[40] ^= 0xff;
        assert!(refusal(&torn).contains("damaged"), "{}", refusal(&torn));
    }

    #[test]
    fn members_that_are_no_json_are_named() {
        for (members, reason) in [
            (
                vec![(METRICS, b"{".as_slice())],
                "runtime-metrics.json is not JSON",
            ),
            (
                vec![("metadata.json", b"{}".as_slice())],
                "has no runtime-metrics.json",
            ),
            (
                vec![(METRICS, b"{}".as_slice()), ("session.json", b"nope")],
                "session.json is not JSON",
            ),
        ] {
            let report = ReportZip::parse(&zipped(&members), SMALL).expect("a zip");
            let error = format!("{:#}", report.into_evidence().expect_err(reason));
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn json_as_deep_as_the_sky_is_refused_not_followed() {
        let deep = "[".repeat(100_000);
        let report = ReportZip::parse(&zipped(&[(METRICS, deep.as_bytes())]), SMALL).expect("a zip");
        let error = format!("{:#}", report.into_evidence().expect_err("deep"));
        assert!(error.contains("recursion limit"), "{error}");
    }
}
