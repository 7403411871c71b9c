//! Where reports are found, and what is refused.

use super::*;

/// Where the reports are, readable or not.
fn places(zip: &[u8]) -> Vec<String> {
    let archive = Archive::open(Cursor::new(zip), SMALL).unwrap_or_else(|error| panic!("{error}"));
    (0..archive.len())
        .map(|report| archive.name(report).to_owned())
        .collect()
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
        // A zip next to the metrics may be a file of the report, and anything.
        (
            zipped(&[(METRICS, b"{}"), ("old.zip", &inner)]),
            vec!["", "old.zip"],
        ),
        (zipped(&[(METRICS, b"{}"), ("log.zip", b"PK")]), vec![""]),
        // A client that wrote no metrics wrote a report all the same.
        (
            zipped(&[
                ("a/runtime-metrics.json", b"{}"),
                ("b/metadata.json", b"{}"),
                ("b/session.json", b"{}"),
            ]),
            vec!["a", "b"],
        ),
        (zipped(&[("holiday.jpg", b"\xff\xd8")]), vec![]),
        (zipped(&[]), vec![]),
    ] {
        assert_eq!(places(&zip), expected);
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
    ] {
        let error = refusal(&bytes);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
}

#[test]
fn a_zip_inside_that_cannot_be_read_costs_the_others_nothing() {
    let good = zipped(GOOD);
    let four = zipped(&[("1", b""), ("2", b""), ("3", b""), ("4", b"")]);
    let escape = patched(zipped(&[("ok/ok", b"")]), b"ok/ok", b"../ok");
    for (members, reasons) in [
        (
            [("bad.zip", escape.as_slice()), ("good.zip", &good)],
            &["\"bad.zip\": path traversal"][..],
        ),
        (
            [("bad.zip", b"PK\x03\x04"), ("good.zip", &good)],
            &["\"bad.zip\": not a whole zip"],
        ),
        (
            [("a.zip", &four), ("b.zip", &four)],
            &["\"b.zip\": more than 6 members in the zips inside"],
        ),
    ] {
        let mut archive = Archive::open(Cursor::new(zipped(&members)), SMALL).expect("opened");
        let found: Vec<&str> = (0..archive.len()).map(|report| archive.name(report)).collect();
        let expected: Vec<&str> = members
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| *name == "good.zip")
            .collect();
        assert_eq!(found, expected);
        let unread: Vec<String> = archive.unread().iter().map(|error| described(error)).collect();
        assert_eq!(unread.len(), reasons.len());
        for (why, reason) in unread.iter().zip(reasons) {
            assert!(why.contains(reason), "wanted {reason:?}, got {why:?}");
        }
    }
}

#[test]
fn zips_inside_that_cannot_be_read_are_paid_for() {
    let noise: Vec<u8> = (0..1_u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let zip = zipped(&[
        ("1.zip", &noise),
        ("2.zip", &noise),
        ("3.zip", &noise),
        ("4.zip", &noise),
    ]);
    let mut archive = Archive::open(
        Cursor::new(zip),
        Limits {
            total_bytes: 2 << 20,
            ..SMALL
        },
    )
    .expect("opened");
    let unread: Vec<String> = archive.unread().iter().map(|error| described(error)).collect();
    // Nothing is left for the fourth.
    assert_eq!(unread.len(), 3);
    for (why, reason) in unread.iter().zip([
        "no end record",
        "no end record",
        "at most 0 are read",
        "at most 0 are read",
    ]) {
        assert!(why.contains(reason), "wanted {reason:?}, got {why:?}");
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
