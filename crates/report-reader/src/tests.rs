//! Reports in zips, made by the library and by byte edits.

use std::io::{Cursor, Write};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::bounded_json::Budget;
use crate::{Archive, Limits, METRICS, ReadError, ReportFiles};

const SMALL: Limits = Limits {
    file_bytes: 8 << 20,
    members: 4,
    nested_members: 6,
    member_bytes: 3 << 20,
    total_bytes: 4 << 20,
    text_bytes: 1 << 20,
    kept_bytes: 3 << 19,
    ratio: 200,
    directory_bytes: 1 << 20,
    reports: 2,
};

const GOOD: &[(&str, &[u8])] = &[(METRICS, b"{}")];

/// The names of a zip's reports, and the members of each.
type Found = Vec<(String, Value)>;

fn read(bytes: &[u8]) -> Result<Found, ReadError> {
    let mut archive = Archive::open(Cursor::new(bytes), SMALL)?;
    let reports = (0..archive.len()).map(|report| {
        let (_, members) = archive.read(report)?.into_evidence(&mut Budget::default())?;
        Ok((archive.name(report).to_owned(), members))
    });
    reports.collect()
}

fn names(bytes: &[u8]) -> Vec<String> {
    let found = read(bytes).unwrap_or_else(|error| panic!("{}", described(&error)));
    found.into_iter().map(|(name, _)| name).collect()
}

/// The error and its causes in one line.
fn described(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", described(source)),
        None => error.to_string(),
    }
}

fn refusal(bytes: &[u8]) -> String {
    described(&read(bytes).expect_err("refused"))
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    zipped_by(CompressionMethod::Deflated, members)
}

fn zipped_by(method: CompressionMethod, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in members {
        zip.start_file(*name, options).expect("a member");
        zip.write_all(content).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
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
fn a_report_is_read_whole() {
    let zip = zipped(&[
        (METRICS, br#"{"platform":"linux"}"#),
        ("metadata.json", br#"{"pid":1}"#),
        ("notes.txt", b"text"),
        ("screenshot.png", b"\x89PNG\xff"),
    ]);
    let mut archive = Archive::open(Cursor::new(&zip), SMALL).expect("a zip");
    let report = archive.read(0).expect("a report");
    let (metrics, members) = report.into_evidence(&mut Budget::default()).expect("good");
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
fn reports_are_found_wherever_they_are() {
    let inner = zipped(GOOD);
    let in_folder = zipped(&[("Deep/RUNTIME-METRICS.JSON", b"{}"), ("deep/notes.txt", b"x")]);
    for (zip, expected) in [
        (zipped(GOOD), vec![""]),
        (
            zipped(&[("a/", b""), ("a/runtime-metrics.json", b"{}")]),
            vec!["a"],
        ),
        (
            zipped(&[("a\\b\\runtime-metrics.json", b"{}"), ("a\\x", b"x")]),
            vec!["a/b"],
        ),
        (
            zipped(&[(METRICS, b"{}"), ("__MACOSX/runtime-metrics.json", b"\0")]),
            vec![""],
        ),
        (
            zipped(&[
                ("a/runtime-metrics.json", b"{}"),
                ("b/runtime-metrics.json", b"{}"),
                ("x", b"x"),
            ]),
            vec!["a", "b"],
        ),
        (
            zipped(&[(METRICS, b"{}"), ("old/runtime-metrics.json", b"{}")]),
            vec!["old", ""],
        ),
        (
            zipped(&[("notes.txt", b"x"), ("idle.zip", &inner)]),
            vec!["idle.zip"],
        ),
        (
            zipped(&[("mail/idle.ZIP", &in_folder)]),
            vec!["mail/idle.ZIP/Deep"],
        ),
        (
            zipped_by(CompressionMethod::Stored, &[("idle.zip", &inner)]),
            vec!["idle.zip"],
        ),
        (
            zipped(&[("a.zip", &inner), ("b.zip", &inner)]),
            vec!["a.zip", "b.zip"],
        ),
        // One level alone is opened.
        (zipped(&[("a.zip", &zipped(&[("b.zip", &inner)]))]), vec![]),
        // A zip next to the metrics is a file of the report.
        (zipped(&[(METRICS, b"{}"), ("old.zip", &inner)]), vec![""]),
        (zipped(&[("holiday.jpg", b"\xff\xd8")]), vec![]),
        (zipped(&[]), vec![]),
    ] {
        assert_eq!(names(&zip), expected);
    }
    let found = read(&in_folder).expect("read");
    assert_eq!(
        found[0].1,
        json!({METRICS: {"bytes": 2}, "notes.txt": {"bytes": 1, "text": "x"}})
    );
}

#[test]
fn members_of_a_deeper_report_are_not_those_of_the_outer_one() {
    let zip = zipped(&[
        (METRICS, b"{}"),
        ("logs/a.txt", b"1"),
        ("old/runtime-metrics.json", b"{}"),
        ("old/a.txt", b"2"),
    ]);
    let found = read(&zip).expect("read");
    let keys = |report: usize| -> Vec<&str> {
        let members = found[report].1.as_object().expect("members");
        members.keys().map(String::as_str).collect()
    };
    assert_eq!((found[0].0.as_str(), keys(0)), ("old", vec!["a.txt", METRICS]));
    assert_eq!((found[1].0.as_str(), keys(1)), ("", vec!["logs/a.txt", METRICS]));
}

#[test]
fn bytes_behind_the_end_are_allowed_unless_they_belong_to_a_zip() {
    let good = zipped(GOOD);
    for behind in [
        b"\n".as_slice(),
        &[0; 5000],
        b"\r\n-- \r\nSent from a telephone\r\n",
    ] {
        assert_eq!(names(&[&good, behind].concat()), [""]);
    }
    let before = [b"#!/bin/sh\nexec unzip \"$0\"\n", good.as_slice()].concat();
    assert_eq!(names(&before), [""]);
    let error = refusal(&[&good[..], &good[..100]].concat());
    assert!(error.contains("cut off"), "{error}");
}

#[test]
fn a_zip_that_was_cut_off_is_not_taken_for_the_zip_inside_it() {
    let inner = zipped(&[(METRICS, b"{}"), ("a", b"1"), ("b", b"2")]);
    let bytes = zipped_by(
        CompressionMethod::Stored,
        &[("first.zip", &inner), ("z", &[7; 50])],
    );
    assert!(read(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
    }
}

#[test]
fn files_that_are_not_zips_or_exceed_a_limit_are_refused() {
    let good = zipped(GOOD);
    let big = vec![b'x'; 3 << 20];
    let noise: Vec<u8> = (0..3_u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let locator = [b"PK\x06\x07".as_slice(), &[0; 16], &good[good.len() - 22..]].concat();
    let beside = |name: &str, content: &[u8]| zipped(&[(METRICS, b"{}"), (name, content)]);
    let four = zipped(&[("1", b""), ("2", b""), ("3", b""), ("4", b"")]);
    let long_name = "n".repeat(60_000);
    let long_names: Vec<String> = (0..4).map(|n| format!("{long_name}{n}")).collect();
    let long_names: Vec<(&str, &[u8])> = long_names
        .iter()
        .map(|name| (name.as_str(), b"".as_slice()))
        .collect();
    for (bytes, reason) in [
        (vec![], "no end record"),
        (b"PK".to_vec(), "no end record"),
        (good[..good.len() - 30].to_vec(), "no end record"),
        (good[20..].to_vec(), "No CDFH found"),
        (locator, "zip64 end record is not where"),
        (
            zipped(&[("1", b""), ("2", b""), ("3", b""), ("4", b""), ("5", b"")]),
            "5 members",
        ),
        (zipped(&long_names), "60001 bytes"),
        (beside("bomb", &big), "a bomb"),
        (
            zipped(&[(METRICS, b"{}"), ("one", &noise), ("two", &noise)]),
            "at most",
        ),
        (
            zipped(&[
                ("a/runtime-metrics.json", b"{}"),
                ("b/runtime-metrics.json", b"{}"),
                ("c/runtime-metrics.json", b"{}"),
            ]),
            "3 reports in one zip",
        ),
        (
            patched(zipped(&[("ok/ok", b"")]), b"ok/ok", b"../ok"),
            "path traversal",
        ),
        (patched(zipped(&[("abs", b"")]), b"abs", b"/bs"), "path traversal"),
        (
            patched(zipped(&[("esc", b"")]), b"esc", b"e\x1bc"),
            "control characters",
        ),
        (
            zipped(&[("bad.zip", &patched(zipped(&[("ok/ok", b"")]), b"ok/ok", b"../ok"))]),
            "\"bad.zip\": path traversal",
        ),
        (
            zipped(&[("a.zip", &four), ("b.zip", &four)]),
            "\"b.zip\": more than 6 members in the zips inside",
        ),
        (
            zipped(&[("bad.zip", b"PK\x03\x04")]),
            "\"bad.zip\": not a whole zip",
        ),
    ] {
        let error = refusal(&bytes);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
}

#[test]
fn names_of_one_file_are_refused_however_they_are_written() {
    let twins = patched(zipped(&[("aa", b"1"), ("ab", b"2")]), b"aa", b"ab");
    for zip in [
        twins,
        zipped(&[("a/b", b"1"), ("a\\b", b"2")]),
        zipped(&[("a/b", b"1"), ("A/B", b"2")]),
        zipped(&[("a/b", b"1"), ("./a//b", b"2")]),
        zipped(&[(METRICS, b"{}"), ("Runtime-Metrics.JSON", b"{}")]),
    ] {
        let error = refusal(&zip);
        assert!(error.contains("two members have one name"), "{error}");
    }
}

#[test]
fn a_method_that_is_not_read_is_named() {
    for (method, name) in [(12_u8, "Bzip2"), (14, "LZMA"), (9, "Deflate64"), (93, "Zstd")] {
        let mut zip = zipped(GOOD);
        let directory = zip.len() - 22 - 46 - METRICS.len();
        zip[8] = method;
        zip[directory + 10] = method;
        let error = refusal(&zip);
        assert!(
            error.to_lowercase().contains(&name.to_lowercase()) && !error.contains("damaged"),
            "{error}"
        );
    }
}

#[test]
fn text_is_kept_within_bounds_and_the_rest_scanned() {
    let text = |bytes: usize| "ü".repeat(bytes / 2).into_bytes();
    let mut capture = vec![0xff; 2 << 20];
    capture[..4].copy_from_slice(b"\xd4\xc3\xb2\xa1");
    let stored = |members: &[(&str, &[u8])]| zipped_by(CompressionMethod::Stored, members);
    let fits = stored(&[
        (METRICS, b"{}"),
        ("traffic.pcap", &capture),
        ("notes.txt", &text(100_000)),
    ]);
    let found = read(&fits).expect("read");
    let members = &found[0].1;
    assert_eq!(members["traffic.pcap"], json!({"bytes": 2 << 20}));
    assert_eq!(members["notes.txt"]["text"].as_str().map(str::len), Some(100_000));
    for members in [
        &[
            (METRICS, b"{}".as_slice()),
            ("long.txt", text((1 << 20) + 2).as_slice()),
        ][..],
        &[
            (METRICS, b"{}"),
            ("one.txt", &text(1 << 20)),
            ("two.txt", &text(1 << 20)),
        ],
    ] {
        let error = refusal(&stored(members));
        assert!(error.contains("too long to be judged"), "{error}");
    }
}

#[test]
fn a_member_that_lies_about_its_size_or_content_is_refused() {
    let content = [b"{}".as_slice(), &[b' '; 4998]].concat();
    let zip = zipped(&[(METRICS, &content)]);
    let lie = patched(zip.clone(), &5000_u32.to_le_bytes(), &50_u32.to_le_bytes());
    assert!(read(&lie).is_err());
    let mut torn = zip;
    torn[60] ^= 0xff;
    assert!(refusal(&torn).contains("damaged"), "{}", refusal(&torn));
}

#[test]
fn the_client_is_at_fault_for_what_it_wrote_and_the_file_for_the_rest() {
    let deep = "[".repeat(100_000);
    for (members, is_clients_fault, reason) in [
        (
            vec![(METRICS, b"{".as_slice())],
            true,
            "runtime-metrics.json cannot be read as JSON",
        ),
        (vec![(METRICS, b"{\"a\": NaN}")], true, "cannot be read as JSON"),
        (vec![(METRICS, b"{\"\xff\": 1}")], true, "is not text"),
        (
            vec![("metadata.json", b"{}".as_slice()), ("session.json", b"{}")],
            true,
            "has no runtime-metrics.json",
        ),
        (vec![(METRICS, b"{} {}")], true, "text follows the JSON"),
        (
            vec![(METRICS, b"{}".as_slice()), ("session.json", b"nope")],
            true,
            "\"session.json\" cannot be read as JSON",
        ),
        (vec![(METRICS, b"<!DOCTYPE html>")], false, "is HTML"),
        (vec![(METRICS, deep.as_bytes())], false, "recursion limit"),
        (
            vec![(METRICS, b"{\"a\": 1, \"a\": 1}")],
            false,
            "the key \"a\" occurs twice",
        ),
    ] {
        let error = read(&zipped(&members)).expect_err(reason);
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.is_clients_fault(), is_clients_fault, "{error}");
    }
}

#[test]
fn other_files_of_json_next_to_the_reports_need_not_be_json() {
    let zip = zipped(&[
        (METRICS, b"{}"),
        ("log.json", b"{\"n\": 1}\n{\"n\": 2}\n"),
        ("x.json", b"\xff"),
    ]);
    let found = read(&zip).expect("read");
    assert_eq!(
        found[0].1,
        json!({
            METRICS: {"bytes": 2},
            "log.json": {"bytes": 18, "text": "{\"n\": 1}\n{\"n\": 2}\n"},
            "x.json": {"bytes": 1},
        })
    );
}

#[test]
fn names_are_read_as_utf_8_where_they_are_utf_8() {
    let utf8 = zipped(&[("Zoë/runtime-metrics.json", b"{}")]);
    let mut unflagged = utf8.clone();
    let directory = memchr::memmem::find(&utf8, b"PK\x01\x02").expect("a directory");
    (unflagged[7], unflagged[directory + 9]) = (0, 0);
    assert_ne!(utf8, unflagged);
    assert_eq!(
        (names(&utf8), names(&unflagged)),
        (vec!["Zoë".into()], vec!["Zoë".into()])
    );
    // Code page 437 has a letter for every byte; what they are in Shift-JIS, nothing says.
    let shift_jis = patched(unflagged, "Zoë".as_bytes(), b"\x95\x5c\x95\xf1");
    assert_eq!(names(&shift_jis), ["ò/ò±"]);
}

#[test]
fn json_members_are_read_in_every_encoding() {
    let wide: Vec<u8> = "\u{feff}{\"pid\": 7}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for text in [
        b"{\"pid\": 7}".as_slice(),
        b"\xef\xbb\xbf{\"pid\":\r\n7}\r\n",
        b"```json\n{\"pid\": 7}\n```\n",
        &wide,
    ] {
        let found = read(&zipped(&[(METRICS, text), ("session.json", text)])).expect("read");
        let members = &found[0].1;
        assert_eq!(
            members["session.json"],
            json!({"bytes": text.len(), "json": {"pid": 7}})
        );
    }
}

#[test]
fn a_directory_is_a_report() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| std::fs::write(dir.path().join(name), content).expect("written");
    write("Runtime-Metrics.json", "{\"platform\": \"linux\"}");
    write("notes.txt", "x");
    write(".DS_Store", "\0");
    std::fs::create_dir(dir.path().join("logs")).expect("created");
    #[cfg(unix)]
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("session.json")).expect("a link");
    let files = ReportFiles::read_dir(dir.path(), &SMALL).expect("read");
    let (metrics, members) = files.into_evidence(&mut Budget::default()).expect("good");
    assert_eq!(metrics, json!({"platform": "linux"}));
    let names: Vec<&String> = members.as_object().expect("members").keys().collect();
    assert_eq!(names, ["notes.txt", METRICS]);
    for n in 0..3 {
        write(&n.to_string(), "");
    }
    let error = ReportFiles::read_dir(dir.path(), &SMALL).expect_err("too many");
    assert!(error.to_string().contains("more than 4 files"), "{error}");
}

#[test]
fn a_zip_without_metrics_is_opened_as_the_one_report_of_a_client() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.zip");
    std::fs::write(&path, zipped(&[("readme.txt", b"x")])).expect("written");
    let files = ReportFiles::open(&path).expect("opened");
    let error = files
        .into_evidence(&mut Budget::default())
        .expect_err("no metrics");
    assert!(error.is_clients_fault(), "{error}");
    let several = zipped(&[
        ("a/runtime-metrics.json", b"{}"),
        ("b/runtime-metrics.json", b"{}"),
    ]);
    std::fs::write(&path, several).expect("written");
    let error = described(&ReportFiles::open(&path).expect_err("several"));
    assert!(error.contains("2 reports in one zip"), "{error}");
}
